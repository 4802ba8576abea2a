"""From judged answers to rates by suite, with intervals, and to the macro means over the other domains."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from narrows.errors import DataError
from narrows.evaluation.answers import Answer
from narrows.evaluation.judging import Criterion
from narrows.evaluation.questions import OUT_OF_DOMAIN, Suite, is_other_domain
from narrows.statistics import Counts, RateInterval, macro_rate
from narrows.summary import Evaluation

ANCHORED = f"{OUT_OF_DOMAIN}:anchored"
NEVER_ANCHORED = f"{OUT_OF_DOMAIN}:never_anchored"


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
    """

    model: str
    solution: str
    scale: float
    suite: str
    n: int
    shown: Counts
    coherence: Counts
    coherent_shown: Counts | None

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


def rates(answers: Iterable[Answer], criterion: Criterion) -> list[SuiteRates]:
    """Rates by model, solution, scale and suite, in the order in which each is first met.

    Raises:
        DataError: no answer of a suite was scored.
    """
    grouped: dict[tuple[str, str, float, str], list[Answer]] = {}
    for answer in answers:
        grouped.setdefault((answer.model, answer.adapter, answer.scale, answer.suite), []).append(answer)
    return [_suite_rates(key, rows, criterion) for key, rows in grouped.items()]


def macro_groups(measured: Sequence[SuiteRates], suites: Sequence[Suite]) -> dict[str, list[SuiteRates]]:
    """The domain suites behind each macro mean: every suite but ``in_domain`` and the open ones.

    Pass the groups' ``shown`` counts to :func:`narrows.evaluation.macro_rate`, or those of two solutions to
    :func:`narrows.evaluation.macro_difference`; the order of the suites is by name, so that two solutions
    match.

    Args:
        measured: one solution's rates at one scale, one row a suite.
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


def _suite_rates(
    key: tuple[str, str, float, str], rows: Sequence[Answer], criterion: Criterion
) -> SuiteRates:
    """Count one suite's answers by cluster."""
    tallies: dict[str, list[int]] = {}
    for answer in rows:
        shown = criterion.shown(answer.scores)
        if shown is not None:
            tally = tallies.setdefault(answer.cluster, [0, 0, 0])
            for place, value in enumerate((True, criterion.coherent(answer.scores), shown)):
                tally[place] += value
    model, solution, scale, suite = key
    if not tallies:
        raise DataError(
            f"None of the {len(rows)} answers of {solution!r} (scale {scale:g}) on suite {suite!r} has both "
            f"scores, {criterion.column!r} and 'coherent': judge them first."
        )
    scored, coherent, shown_counts = np.array(list(tallies.values())).T
    names = tuple(tallies)
    return SuiteRates(
        *(model, solution, scale, suite, len(rows)),
        shown=Counts.of(shown_counts, scored, names),
        coherence=Counts.of(coherent, scored, names),
        coherent_shown=Counts.of(shown_counts, coherent, names) if coherent.any() else None,
    )
