"""The claims table: what each claim says, its verdict in words and signs, its interval against the margin."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from narrows.report.paper import PaperFact, facts_on
from narrows.report.reading import ClaimPart, Reading
from narrows.summary import Claim, ClaimVerdict, Interval, Summary

STATEMENTS = {
    "C1": "Without an anchor, training in one domain spreads far outside it.",
    "C2": "With the anchor, the same adapter learns the behaviour in its domain and leaves the others alone.",
    "C3": "Mixing in good data does not isolate the narrow solution: both rates fall together.",
    "C4": "Efficiency: at equal norm the general solution has the lower training loss.",
    "C5": "Stability: under noise the narrow solution's loss rises faster.",
    "C6": "Significance: on ordinary text the general direction moves predictions more than the others.",
    "C7": "Once the anchor is lifted, the narrow solution moves to the general one.",
    "C8": "Along training, the gradient points more to the general solution than to the narrow one.",
    "C9": "The same holds for a harmless behaviour: a technical register in one domain.",
    "C10": "Ablating one direction from one fine-tune removes the behaviour there and in other fine-tunes.",
}
SIGNS: dict[ClaimVerdict, str] = {"supported": "✓", "inconclusive": "≈", "not-supported": "✕", "not-run": "○"}


@dataclass(frozen=True)
class Strip:
    """An estimate with its interval and margin, as places between 0 and 100 on a line of their own."""

    low: float
    high: float
    estimate: float
    zero: float
    margin: float | None


@dataclass(frozen=True)
class ClaimRow:
    """One verdict with all that stands beside it."""

    claim: Claim
    strip: Strip | None

    @property
    def where(self) -> str:
        """The model and behaviour the verdict is about."""
        return " · ".join(part for part in (self.claim.model, self.claim.behaviour) if part)


@dataclass(frozen=True)
class ClaimGroup:
    """All verdicts on one claim (one for each model and behaviour) and the comparisons behind them."""

    id: str
    statement: str
    rows: list[ClaimRow]
    parts: list[tuple[ClaimPart, Strip | None]] = field(default_factory=list)

    @property
    def facts(self) -> list[PaperFact]:
        """What the paper reports on the claim."""
        return facts_on(self.id)

    @property
    def single(self) -> bool:
        """Whether there is one verdict only, to be shown in the row itself."""
        return len(self.rows) == 1

    @property
    def tally(self) -> list[tuple[ClaimVerdict, int]]:
        """How often each verdict was given."""
        counts = Counter(row.claim.verdict for row in self.rows)
        return [(verdict, counts[verdict]) for verdict in SIGNS if counts[verdict]]


def claim_groups(summary: Summary, reading: Reading) -> list[ClaimGroup]:
    """The claims of a run in their order, each once."""
    order = {claim.id: position for position, claim in enumerate(summary.claims)}
    known = {id_: position for position, id_ in enumerate(STATEMENTS)}
    return [
        ClaimGroup(
            id_,
            STATEMENTS.get(id_, ""),
            [
                ClaimRow(claim, strip(claim.estimate, claim.ci95, claim.margin))
                for claim in summary.claims
                if claim.id == id_
            ],
            [
                (part, strip(part.estimate, part.ci95, part.margin))
                for part in reading.claim_parts.get(id_, [])
            ],
        )
        for id_ in sorted(order, key=lambda id_: (known.get(id_, len(known)), order[id_]))
    ]


def verdict_tally(summary: Summary) -> list[tuple[ClaimVerdict, int]]:
    """How many verdicts of each kind the whole run gave."""
    counts = Counter(claim.verdict for claim in summary.claims)
    return [(verdict, counts[verdict]) for verdict in SIGNS if counts[verdict]]


def strip(
    estimate: float | None, ci95: Interval | None, margin: float | None, also: Sequence[float] = ()
) -> Strip | None:
    """Places for an interval's line; None where there is no interval to draw.

    ``also`` are numbers that have a place on the line too, so that several lines share one scale.
    """
    if estimate is None or ci95 is None:
        return None
    marks = [*ci95, estimate, 0.0, *also, *([] if margin is None else [margin])]
    low, high = min(marks), max(marks)
    span = (high - low) or 1.0

    def place(value: float) -> float:
        return round(4 + 92 * (value - low) / span, 2)

    return Strip(
        place(ci95[0]), place(ci95[1]), place(estimate), place(0.0), None if margin is None else place(margin)
    )
