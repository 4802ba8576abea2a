"""Agreement of two judges over the same answers: on their scores, their verdicts, and the headline rate."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from narrows.errors import DataError
from narrows.evaluation.answers import Answer
from narrows.evaluation.criteria import Criterion
from narrows.statistics import DifferenceInterval, RateInterval, macro_difference, macro_rate
from narrows.statistics.association import (
    Clustering,
    Estimate,
    clustered_kappa,
    clustered_mean,
    clustered_spearman,
)
from narrows.strict import one_line

Floats = NDArray[np.float64]
Pair = tuple[Answer, Answer]
"""One answer, judged by the first and by the second."""


@dataclass(frozen=True)
class ColumnAgreement:
    """How two judges agree on one score column.

    Attributes:
        column: the score column.
        n: answers that both scored.
        only_a: answers that only the first scored.
        only_b: answers that only the second scored.
        spearman: rank correlation; None if it is not defined (fewer than two answers, or one judge gave all
            the same score).
        shift: mean of the second's score minus the first's, in points; None if both scored no answer.
    """

    column: str
    n: int
    only_a: int
    only_b: int
    spearman: Estimate | None
    shift: Estimate | None


@dataclass(frozen=True)
class Agreement:
    """How two judges agree over the same answers.

    Attributes:
        criterion: what counts as showing the behaviour.
        matched: answers that are in both tables.
        unmatched_a: answers that are only in the first table.
        unmatched_b: answers that are only in the second.
        clusters: how many clusters the matched answers come from.
        columns: agreement on each score column that both tables have.
        n: matched answers with a verdict by both judges.
        only_a: matched answers with a verdict by the first only.
        only_b: matched answers with a verdict by the second only.
        kappa: Cohen's kappa of the verdicts; None if it is not defined (no verdict by both, or both gave all
            answers the same one verdict).
        rate_a: the headline rate by the first judge, over the ``n`` answers; None if there are none.
        rate_b: the headline rate by the second judge, over the same answers.
        moved: ``rate_b`` minus ``rate_a``; None if there are no such answers.
    """

    criterion: Criterion
    matched: int
    unmatched_a: int
    unmatched_b: int
    clusters: int
    columns: Mapping[str, ColumnAgreement]
    n: int
    only_a: int
    only_b: int
    kappa: Estimate | None
    rate_a: RateInterval | None
    rate_b: RateInterval | None
    moved: DifferenceInterval | None


def agreement(a: Sequence[Answer], b: Sequence[Answer], criterion: Criterion) -> Agreement:
    """Compare two judges' verdicts on the same answers.

    Answers are matched by model, solution, scale, suite, question and sample; those that are in one table
    only are counted and set aside. Answers to one question are not independent, whichever solution gave them:
    the unit of every 95 % interval is the cluster within its suite. The intervals are those of
    :func:`narrows.statistics.association.clustered_spearman` (a jackknife over clusters on Fisher's scale),
    :func:`~narrows.statistics.association.clustered_mean` and
    :func:`~narrows.statistics.association.clustered_kappa`. How the rate moves is the share of answers that
    only the second judge counts minus that of those that only the first counts, so its interval is
    :func:`narrows.statistics.macro_difference` of these two.

    Args:
        a: judged by the first judge.
        b: the same answers, judged by the second.
        criterion: what counts.

    Raises:
        DataError: a table has an answer twice, the two share none, or the text of one differs.
    """
    pairs = _matched(a, b)
    columns = [
        column
        for column in dict.fromkeys(column for one, _ in pairs for column in one.scores)
        if any(column in other.scores for _, other in pairs)
    ]
    verdicts = _Both.of(pairs, lambda one: criterion.shown(one.scores))
    first, second, clusters = verdicts.first, verdicts.second, verdicts.clusters
    rate_a = rate_b = moved = None
    if verdicts.n:
        rate_a, rate_b = (macro_rate([clusters.counts(one)]) for one in (first, second))
        only_second, only_first = (
            clusters.counts(np.maximum(one, 0.0)) for one in (second - first, first - second)
        )
        moved = macro_difference([only_second], [only_first])
    return Agreement(
        criterion=criterion,
        matched=len(pairs),
        unmatched_a=len(a) - len(pairs),
        unmatched_b=len(b) - len(pairs),
        clusters=len({_cluster(one) for one, _ in pairs}),
        columns={column: _column(column, pairs) for column in columns},
        n=verdicts.n,
        only_a=verdicts.only_a,
        only_b=verdicts.only_b,
        kappa=clustered_kappa(first, second, clusters),
        rate_a=rate_a,
        rate_b=rate_b,
        moved=moved,
    )


def _column(column: str, pairs: Sequence[Pair]) -> ColumnAgreement:
    """Agreement on one column."""
    scores = _Both.of(pairs, lambda one: one.scores.get(column))
    return ColumnAgreement(
        column=column,
        n=scores.n,
        only_a=scores.only_a,
        only_b=scores.only_b,
        spearman=clustered_spearman(scores.first, scores.second, scores.clusters),
        shift=clustered_mean(scores.second - scores.first, scores.clusters),
    )


@dataclass(frozen=True)
class _Both:
    """What two judges said of the answers of which both said something, (n,) each."""

    first: Floats
    second: Floats
    clusters: Clustering
    only_a: int
    only_b: int

    @property
    def n(self) -> int:
        return len(self.first)

    @classmethod
    def of(cls, pairs: Sequence[Pair], value: Callable[[Answer], float | None]) -> "_Both":
        said = [(value(one), value(other), _cluster(one)) for one, other in pairs]
        both = [(x, y, cluster) for x, y, cluster in said if x is not None and y is not None]
        return cls(
            first=np.array([x for x, _, _ in both], dtype=float),
            second=np.array([y for _, y, _ in both], dtype=float),
            clusters=Clustering([cluster for _, _, cluster in both]),
            only_a=sum(x is not None and y is None for x, y, _ in said),
            only_b=sum(x is None and y is not None for x, y, _ in said),
        )


def _cluster(answer: Answer) -> Hashable:
    return answer.suite, answer.cluster


def _matched(a: Sequence[Answer], b: Sequence[Answer]) -> list[Pair]:
    """The answers that are in both tables."""
    others = _by_key(b, "second")
    pairs = [(one, others[key]) for key, one in _by_key(a, "first").items() if key in others]
    if not pairs:
        raise DataError(
            f"The two tables share none of their {len(a)} and {len(b)} answers: model, solution, scale, "
            "suite, question and sample must be the same. Judge one answers table twice."
        )
    for one, other in pairs:
        if one.text != other.text:
            raise DataError(
                f"The two tables hold different answers of {one.adapter!r} (scale {one.scale:g}) to question "
                f"{one.question_id!r} of suite {one.suite!r}, sample {one.sample}: "
                f"{one_line(one.text)[:60]!r} and {one_line(other.text)[:60]!r}. Judge one answers table "
                "twice."
            )
    return pairs


def _by_key(answers: Sequence[Answer], which: str) -> dict[Hashable, Answer]:
    """A table's answers by what they are matched by."""
    found: dict[Hashable, Answer] = {}
    for one in answers:
        key = (one.model, one.adapter, one.scale, one.suite, one.question_id, one.sample)
        if key in found:
            raise DataError(
                f"The {which} table has two answers of {one.adapter!r} (scale {one.scale:g}) to question "
                f"{one.question_id!r} of suite {one.suite!r}, sample {one.sample}: they cannot be matched."
            )
        found[key] = one
    return found
