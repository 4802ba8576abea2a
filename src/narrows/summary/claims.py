"""Verdicts on the paper's claims: of one run, and over runs."""

from typing import Literal

from pydantic import Field

from narrows.summary.base import Interval, Record

ClaimVerdict = Literal["supported", "not-supported", "inconclusive", "not-run"]
"""What an interval says about a margin; ``not-run`` where nothing that decides was measured."""


class Claim(Record):
    """The verdict on one of the paper's claims; ``ci95`` is null where one run gives no interval.

    ``run`` is the id of the study's run that gave it.
    """

    id: str
    model: str
    behaviour: str
    verdict: ClaimVerdict
    estimate: float | None
    ci95: Interval | None
    margin: float | None
    unit: str
    run: str | None = None


class PooledPart(Record):
    """One comparison behind a claim, over runs: the mean of their estimates, with Student's t interval.

    ``rule`` says on which side of the margin the interval must lie. A control (``counts`` false) has no
    verdict. ``tally`` counts the runs' own verdicts.
    """

    name: str
    estimate: float
    ci95: Interval
    runs: int
    margin: float
    rule: Literal["above", "below"]
    unit: str
    counts: bool
    verdict: ClaimVerdict | None
    tally: dict[ClaimVerdict, int] = Field(default_factory=dict)


class PooledClaim(Record):
    """A claim over all runs of one kind of behaviour and one adapter; the unit of its intervals is a run.

    ``adapter`` is in words (``steering``, ``lora, rank 32``). The verdict follows from the parts as a single
    run's does; ``tally`` counts the runs' own verdicts.
    """

    id: str
    kind: str
    adapter: str
    runs: int
    verdict: ClaimVerdict
    tally: dict[ClaimVerdict, int]
    parts: list[PooledPart]
