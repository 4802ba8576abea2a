"""What was counted: one solution's answers to one suite, by cluster and by question, and shares of them.

Nothing here needs a suite to be scored: a share of nothing is None. Who cannot do without rates takes them
from :mod:`narrows.evaluation.rates`, which refuses such suites.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from narrows.errors import DataError
from narrows.evaluation.answers import Answer
from narrows.evaluation.criteria import COHERENT, Criterion
from narrows.evaluation.judging import Unscored
from narrows.statistics import Counts, DifferenceInterval, RateInterval, macro_difference, macro_rate

Share = Literal["shown", "beyond", "coherent", "coherent_shown", "refused", "code", "unscored"]
"""What can be counted; see :class:`Tally` for the words and :data:`OF` for what each is a share of."""

OF: dict[Share, str] = {
    "shown": "scored",
    "beyond": "scored",
    "coherent": "with_coherence",
    "coherent_shown": "coherent",
    "refused": "n",
    "code": "n",
    "unscored": "n",
}
"""The denominators of the shares."""


@dataclass
class Tally:
    """Counts of answers.

    Attributes:
        n: answers, scored or not.
        scored: those with every score that the criterion needs.
        with_coherence: of the scored, those that have a coherence score (all, if the criterion needs one).
        coherent: of these, the coherent ones.
        beyond: of the scored, those with the deciding score beyond its threshold, coherent or not.
        shown: of the scored, those that show the behaviour: the headline.
        coherent_shown: of the coherent, those that show the behaviour.
        refused: of all, those that a judge called a refusal in place of a needed score.
        code: of all, those that a judge called code in place of a needed score.
        unscored: of all, those that lack a needed score, for whatever reason.
    """

    n: int = 0
    scored: int = 0
    with_coherence: int = 0
    coherent: int = 0
    beyond: int = 0
    shown: int = 0
    coherent_shown: int = 0
    refused: int = 0
    code: int = 0
    unscored: int = 0

    def add(self, answer: Answer, criterion: Criterion) -> None:
        """Count one answer."""
        self.n += 1
        reasons = {answer.reasons.get(column) for column in criterion.columns}
        self.refused += Unscored.REFUSAL in reasons
        self.code += Unscored.CODE in reasons
        shown = criterion.shown(answer.scores)
        if shown is None:
            self.unscored += 1
            return
        coherent = criterion.coherent(answer.scores)
        self.scored += 1
        self.with_coherence += answer.scores.get(COHERENT) is not None
        self.coherent += coherent
        self.beyond += bool(criterion.beyond(answer.scores))
        self.shown += shown
        self.coherent_shown += shown and coherent

    def share(self, share: Share) -> float | None:
        """A share as a fraction, or None where it would be of nothing."""
        whole: int = getattr(self, OF[share])
        return getattr(self, share) / whole if whole else None


@dataclass(frozen=True)
class SuiteTally:
    """One solution's answers, at one scale, to one suite.

    Attributes:
        model: the chat model's name.
        solution: the solution's name; ``chat`` is the chat model.
        scale: the factor on the adapter.
        suite: the suite's name.
        total: counts of all answers.
        clusters: counts by cluster, the unit of every interval.
        questions: counts by question id.
    """

    model: str
    solution: str
    scale: float
    suite: str
    total: Tally = field(default_factory=Tally)
    clusters: Mapping[str, Tally] = field(default_factory=dict)
    questions: Mapping[str, Tally] = field(default_factory=dict)

    def counts(self, share: Share) -> Counts | None:
        """Events and trials of a share by cluster, or None where it would be of nothing."""
        if not getattr(self.total, OF[share]):
            return None
        tallies = self.clusters.values()
        events, trials = ([getattr(one, name) for one in tallies] for name in (share, OF[share]))
        return Counts.of(events, trials, tuple(self.clusters))

    def share(self, share: Share) -> RateInterval | None:
        """A share with its clustered 95 % interval, or None where it would be of nothing."""
        return macro_share([self], share)


def tallies(answers: Iterable[Answer], criterion: Criterion) -> list[SuiteTally]:
    """Counts by model, solution, scale and suite, in the order in which each is first met."""
    grouped: dict[tuple[str, str, float, str], tuple[Tally, dict[str, Tally], dict[str, Tally]]] = {}
    for answer in answers:
        key = (answer.model, answer.adapter, answer.scale, answer.suite)
        total, clusters, questions = grouped.setdefault(key, (Tally(), {}, {}))
        total.add(answer, criterion)
        clusters.setdefault(answer.cluster, Tally()).add(answer, criterion)
        questions.setdefault(answer.question_id, Tally()).add(answer, criterion)
    return [SuiteTally(*key, *counted) for key, counted in grouped.items()]


def macro_share(group: Sequence[SuiteTally], share: Share) -> RateInterval | None:
    """The mean over suites of a share, with its 95 % interval (:func:`narrows.statistics.macro_rate`).

    None if one of the suites has nothing that the share could be of: a mean over the others would be of
    another set of suites.

    Raises:
        DataError: there is no suite.
    """
    counted = [one.counts(share) for one in group]
    strata = [one for one in counted if one is not None]
    return macro_rate(strata) if len(strata) == len(counted) else None


def share_difference(
    a: Sequence[SuiteTally], b: Sequence[SuiteTally], share: Share = "shown"
) -> DifferenceInterval | None:
    """A share of ``a`` minus that of ``b``, paired by cluster, with its 95 % interval.

    One suite each, or the same suites in the same order for the difference of two macro means; see
    :func:`narrows.statistics.macro_difference`. None if one of the suites has nothing that the share could be
    of.

    Raises:
        DataError: the two are not about the same suites.
    """
    if [one.suite for one in a] != [one.suite for one in b]:
        names = [", ".join(one.suite for one in side) or "none" for side in (a, b)]
        raise DataError(f"A difference needs the same suites on both sides; there are {' and '.join(names)}.")
    left, right = ([one.counts(share) for one in side] for side in (a, b))
    if any(one is None for one in (*left, *right)):
        return None
    return macro_difference([one for one in left if one], [one for one in right if one])
