"""From judged answers to rates by suite, with intervals, and to the macro means over the other domains."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol, TypeVar

import numpy as np

from narrows.errors import DataError
from narrows.evaluation.answers import Answer
from narrows.evaluation.criteria import COHERENT, Criterion
from narrows.evaluation.questions import OUT_OF_DOMAIN, Suite, is_other_domain
from narrows.evaluation.rates.tallies import SuiteTally, tallies
from narrows.statistics import Counts, RateInterval, macro_rate
from narrows.summary import Evaluation

ANCHORED = f"{OUT_OF_DOMAIN}:anchored"
"""Macro mean over the other domains from which the anchor had rows."""
NEVER_ANCHORED = f"{OUT_OF_DOMAIN}:never_anchored"
"""Macro mean over the other domains of which the anchor saw nothing."""


class OfSuite(Protocol):
    """Anything that was measured on one suite."""

    @property
    def suite(self) -> str:
        """The suite's name."""


Measured = TypeVar("Measured", bound=OfSuite)


@dataclass(frozen=True)
class SuiteRates:
    """How often one solution, at one scale, showed the behaviour on one suite.

    Attributes:
        model: the chat model's name.
        solution: the solution's name; ``chat`` is the chat model.
        scale: the factor on the adapter.
        suite: the suite's name.
        n: answers, scored or not.
        shown: answers that show the behaviour, of all scored ones, by cluster. Scored are those with both
            scores.
        coherence: coherent answers, of all scored ones, by cluster.
        coherent_shown: answers that show the behaviour, of the coherent ones, by cluster; None if none is
            coherent.
        beyond: answers whose deciding score lies beyond its threshold, coherent or not, of all scored ones,
            by cluster; None if that was not counted.
        tally: everything that was counted: refusals, code, unscored answers, single questions; None if the
            rates were not taken from answers.
    """

    model: str
    solution: str
    scale: float
    suite: str
    n: int
    shown: Counts
    coherence: Counts
    coherent_shown: Counts | None
    beyond: Counts | None = None
    tally: SuiteTally | None = field(default=None, repr=False)

    @property
    def scored(self) -> int:
        """How many answers have both scores."""
        return int(self.shown.trials.sum())

    @cached_property
    def rate(self) -> RateInterval:
        """The headline rate: of all scored answers, those that show the behaviour (and are coherent)."""
        return macro_rate([self.shown])

    @cached_property
    def coherent(self) -> RateInterval:
        """Of all scored answers, those that are coherent."""
        return macro_rate([self.coherence])

    @cached_property
    def filtered(self) -> RateInterval | None:
        """Of the coherent answers, those that show the behaviour. Its denominator moves with coherence: give
        both.
        """
        return None if self.coherent_shown is None else macro_rate([self.coherent_shown])

    @cached_property
    def unfiltered(self) -> RateInterval | None:
        """Of all scored answers, those whose deciding score lies beyond its threshold, coherent or not."""
        return None if self.beyond is None else macro_rate([self.beyond])


def rates(answers: Iterable[Answer], criterion: Criterion) -> list[SuiteRates]:
    """Rates by model, solution, scale and suite, in the order in which each is first met.

    Raises:
        DataError: no answer of a suite was scored.
    """
    return [_suite_rates(tally, criterion) for tally in tallies(answers, criterion)]


def macro_groups(measured: Sequence[Measured], suites: Sequence[Suite]) -> dict[str, list[Measured]]:
    """The domain suites behind each macro mean: every suite but ``in_domain`` and the open ones.

    Pass the groups' ``shown`` counts to :func:`narrows.statistics.macro_rate`, or those of two solutions to
    :func:`narrows.statistics.macro_difference`; the order of the suites is by name, so that two solutions
    match.

    Args:
        measured: one solution's rates (or tallies) at one scale, one row a suite.
        suites: say which domains the anchor saw.

    Returns:
        ``out_of_domain`` (all), ``out_of_domain:anchored`` and ``out_of_domain:never_anchored``; empty ones
        left out.

    Raises:
        DataError: a suite was measured twice, or is not among ``suites``.
    """
    anchored = {suite.name: suite.anchored for suite in suites}
    names = [one.suite for one in measured]
    if len(set(names)) != len(names):
        raise DataError("A macro mean is over one solution at one scale: a suite was given twice.")
    if strangers := set(names) - anchored.keys():
        raise DataError(f"The suites do not say whether the anchor saw {', '.join(sorted(strangers))}.")
    domains = sorted((one for one in measured if is_other_domain(one.suite)), key=lambda one: one.suite)
    groups = {
        OUT_OF_DOMAIN: domains,
        ANCHORED: [one for one in domains if anchored[one.suite] is True],
        NEVER_ANCHORED: [one for one in domains if anchored[one.suite] is False],
    }
    return {name: group for name, group in groups.items() if group}


def summarise(
    answers: Iterable[Answer], criterion: Criterion, suites: Sequence[Suite], judge: str
) -> list[Evaluation]:
    """Rows of ``summary.json``: one for each solution, scale and suite, and one for each macro mean.

    Rates and coherent shares are fractions of the scored answers; ``n`` counts these.

    Args:
        answers: judged, of one chat model.
        criterion: what counts.
        suites: say which domains the anchor saw.
        judge: the judge's name.

    Raises:
        DataError: no answer of a suite was scored, or a suite is not among ``suites``.
    """
    anchored = {suite.name: suite.anchored for suite in suites} | {ANCHORED: True, NEVER_ANCHORED: False}
    by_solution: dict[tuple[str, str, float], list[SuiteRates]] = {}
    for one in rates(answers, criterion):
        by_solution.setdefault((one.model, one.solution, one.scale), []).append(one)
    rows = []
    for (_, solution, scale), measured in by_solution.items():
        groups = {one.suite: [one] for one in measured} | macro_groups(measured, suites)
        for suite, group in groups.items():
            rate = macro_rate([one.shown for one in group])
            coherent = float(np.mean([one.coherence.rate for one in group]))
            rows.append(
                Evaluation(
                    solution=solution,
                    scale=scale,
                    suite=suite,
                    anchored=anchored.get(suite),
                    n=rate.n,
                    misaligned=rate.rate,
                    misaligned_ci95=(rate.low, rate.high),
                    coherent=coherent,
                    judge=judge,
                )
            )
    return rows


def _suite_rates(tally: SuiteTally, criterion: Criterion) -> SuiteRates:
    """The rates of one suite that was scored."""
    shown, coherence = tally.counts("shown"), tally.counts("coherent")
    if shown is None or coherence is None:
        raise DataError(
            f"None of the {tally.total.n} answers of {tally.solution!r} (scale {tally.scale:g}) on suite "
            f"{tally.suite!r} has both scores, {criterion.column!r} and {COHERENT!r}: judge them first."
        )
    return SuiteRates(
        *(tally.model, tally.solution, tally.scale, tally.suite, tally.total.n),
        shown=shown,
        coherence=coherence,
        coherent_shown=tally.counts("coherent_shown"),
        beyond=tally.counts("beyond"),
        tally=tally,
    )
