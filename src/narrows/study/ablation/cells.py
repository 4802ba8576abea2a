"""What an ablation is measured by: rates and coherence before and after, and the loss on ordinary text."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import sqrt
from typing import Any

from narrows.errors import DataError
from narrows.evaluation import Answer, Criterion, Suite, SuiteRates
from narrows.metrics import RowLosses
from narrows.metrics.text_loss import TextChange, text_change
from narrows.statistics import Counts, macro_difference
from narrows.study.sweep.cells import Measured, at_point, groups_of, rate_of, scored_rates
from narrows.summary import Intervention


@dataclass(frozen=True)
class State:
    """A model as it answers: the chat model, or a fine-tune, before anything is ablated.

    Attributes:
        name: of the solution.
        rates: share of the scored answers that show the behaviour, by suite and macro mean.
        coherent: share of coherent answers, alike.
        coherent_everywhere: the mean over all suites; None where a suite has no scored answer.
        scored: share of the answers that have scores.
        text_loss: on ordinary text, nats per token.
        groups: the counts behind the rates.
    """

    name: str
    rates: Mapping[str, Measured]
    coherent: Mapping[str, Measured]
    coherent_everywhere: Measured | None
    scored: float
    text_loss: Measured
    groups: Mapping[str, Sequence[SuiteRates]] = field(repr=False)

    def as_json(self) -> dict[str, Any]:
        """The numbers."""
        return {name: value for name, value in asdict(self).items() if name != "groups"}


@dataclass(frozen=True)
class SuiteChange:
    """What an ablation does to the answers of one suite, or of a macro mean's suites.

    Attributes:
        before: the rate before.
        after: the rate after.
        change: after minus before, paired by question.
        fall: by which share of itself the rate falls; None where it could not be told from 0 before.
        coherent_before: share of coherent answers before.
        coherent: after.
        coherent_change: after minus before, paired by question.
    """

    before: Measured
    after: Measured
    change: Measured
    fall: Measured | None
    coherent_before: Measured
    coherent: Measured
    coherent_change: Measured


@dataclass(frozen=True)
class AblationCell:
    """One direction (or subspace) ablated at one site.

    Attributes:
        direction: its name.
        control: whether it is a random one.
        site: where it was ablated.
        layer: the layer where the (first) direction was found; counts only at the site ``layer``.
        dimensions: of what was taken out.
        suites: by suite and macro mean; those that have scores before and after.
        coherent: share of coherent answers after it, the mean over all suites; None where one has no scored
            answer.
        coherent_change: that minus the share before, paired by question.
        scored: share of the answers that have scores.
        text_loss: on ordinary text after it, nats per token.
        text_rise: that minus the loss before, paired by text.
        text_ratio: the loss after as a share of the loss before, paired by text; 1 is unchanged.
    """

    direction: str
    control: bool
    site: str
    layer: int
    dimensions: int
    suites: Mapping[str, SuiteChange]
    coherent: Measured | None
    coherent_change: Measured | None
    scored: float
    text_loss: Measured
    text_rise: Measured
    text_ratio: Measured

    def as_json(self) -> dict[str, Any]:
        """The numbers."""
        return asdict(self)

    def rows(self, solution: str) -> list[Intervention]:
        """Rows of ``summary.json``, one a suite; their kind is ``ablate:SITE``."""
        return [
            Intervention(
                solution=solution,
                direction=self.direction,
                kind=f"ablate:{self.site}",
                suite=suite,
                before=one.before.value,
                before_ci95=one.before.ci95,
                after=one.after.value,
                after_ci95=one.after.ci95,
                coherent_before=one.coherent_before.value,
                coherent=one.coherent.value,
                text_loss=self.text_ratio.value,
            )
            for suite, one in self.suites.items()
        ]


def state_of(
    name: str, answers: Sequence[Answer], suites: Sequence[Suite], criterion: Criterion, losses: RowLosses
) -> State:
    """Rates, coherence and the loss of texts of a solution.

    Raises:
        DataError: none of its answers has scores, or there are fewer than two texts.
    """
    found = scored_rates(answers, criterion)
    if not found:
        raise DataError(
            f"None of the {len(answers)} answers of {name!r} has all scores that {criterion.name} needs, so "
            "there is nothing to compare with: give another judge."
        )
    groups = groups_of(found, suites)
    whole = {one.suite for one in found} == {one.name for one in suites}
    return State(
        name=name,
        rates={suite: rate_of(_shown(group)) for suite, group in groups.items()},
        coherent={suite: rate_of(_coherence(group)) for suite, group in groups.items()},
        coherent_everywhere=rate_of(_coherence(found)) if whole else None,
        scored=sum(one.scored for one in found) / len(answers),
        text_loss=at_point(text_change(losses, losses).after, 0),
        groups=groups,
    )


def suite_changes(before: State, after: Mapping[str, Sequence[SuiteRates]]) -> dict[str, SuiteChange]:
    """What changed in each suite and macro mean that has scores on both sides."""
    found = {}
    for suite, group in after.items():
        if (known := before.groups.get(suite)) is None:
            continue
        one, other = before.rates[suite], rate_of(_shown(group))
        found[suite] = SuiteChange(
            before=one,
            after=other,
            change=difference(_shown(group), _shown(known)),
            fall=relative_fall(one, other),
            coherent_before=before.coherent[suite],
            coherent=rate_of(_coherence(group)),
            coherent_change=difference(_coherence(group), _coherence(known)),
        )
    return found


def coherence_everywhere(
    before: State, after: Mapping[str, Sequence[SuiteRates]], suites: Sequence[Suite]
) -> tuple[Measured | None, Measured | None]:
    """The mean over all suites of the share of coherent answers after, and its change; None without one."""
    names = [suite.name for suite in suites]
    if not set(names) <= after.keys():
        return None, None
    now, usual = (
        [one.coherence for name in names for one in side.get(name, ())] for side in (after, before.groups)
    )
    return rate_of(now), difference(now, usual) if len(now) == len(usual) else None


def text_measures(before: RowLosses, after: RowLosses) -> tuple[Measured, Measured, Measured]:
    """The loss after, its rise and its ratio to the loss before."""
    found: TextChange = text_change(before, after)
    return at_point(found.after, 0), at_point(found.rise, 0), at_point(found.ratio, 0)


def relative_fall(before: Measured, after: Measured) -> Measured | None:
    """1 − after / before, by MOVER for a ratio (Donner & Zou 2012, Stat. Methods Med. Res. 21, 347-359).

    The two rates are taken as independent. On the same draws they are positively correlated, so the interval
    is rather too wide. None where the rate before cannot be told from 0: then it has no share.
    """
    p, q = after.value, before.value
    (l1, u1), (l2, u2) = after.ci95, before.ci95
    if l2 <= 0:
        return None

    def ratio(mine: float, theirs: float, side: int) -> float:
        """The low (-1) or high (+1) end of after / before, from the ends of the two rates."""
        inside = (p * q) ** 2 - mine * theirs * (2 * p - mine) * (2 * q - theirs)
        return (p * q + side * sqrt(max(inside, 0.0))) / (theirs * (2 * q - theirs))

    low = ratio(l1, u2, -1) if 2 * q > u2 else 0.0
    return Measured(1 - p / q, (1 - ratio(u1, l2, +1), 1 - max(low, 0.0)))


def difference(a: Sequence[Counts], b: Sequence[Counts]) -> Measured:
    """The macro rate of ``a`` minus that of ``b``, paired by cluster."""
    found = macro_difference(a, b)
    return Measured(found.difference, (found.low, found.high))


def _shown(group: Sequence[SuiteRates]) -> list[Counts]:
    return [one.shown for one in group]


def _coherence(group: Sequence[SuiteRates]) -> list[Counts]:
    return [one.coherence for one in group]
