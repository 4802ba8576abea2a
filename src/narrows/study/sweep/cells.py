"""The cells of a sweep: how one adapter at one scale behaves, and what it does to ordinary text."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from narrows.errors import ConfigError, DataError
from narrows.evaluation import Answer, Criterion, Suite, SuiteRates, macro_groups, rates
from narrows.evaluation.questions import is_other_domain
from narrows.metrics import Curve
from narrows.statistics import Counts, macro_difference, macro_rate


@dataclass(frozen=True)
class Measured:
    """An estimate with its 95 % interval."""

    value: float
    ci95: tuple[float, float]

    @property
    def low(self) -> float:
        """The interval's lower end."""
        return self.ci95[0]

    @property
    def high(self) -> float:
        """The interval's upper end."""
        return self.ci95[1]


@dataclass(frozen=True, kw_only=True)
class Behaved:
    """What the judged answers of an adapter at one scale say.

    Attributes:
        rates: share of the scored answers that show the behaviour, by suite and macro mean.
        above_chat: the deciding suite's rate minus the chat model's, paired by question; None where it was
            not scored.
        answers: how many were given.
        scored: the share of them that has scores.
        coherent: share of coherent answers, the mean over all suites; None where a suite has no scored
            answer.
    """

    rates: Mapping[str, Measured]
    above_chat: Measured | None
    answers: int
    scored: float
    coherent: Measured | None


@dataclass(frozen=True, kw_only=True)
class Cell(Behaved):
    """One adapter at one scale, or the chat model: how it behaves, and what it does to ordinary text.

    Attributes:
        direction: the adapter's name; ``chat`` is the chat model.
        kind: ``steering`` or ``lora``; None for the chat model.
        layer: the (first) decoder layer that is changed, counted from 0; None for the chat model.
        scale: the factor on the adapter; 0 for the chat model.
        effective_norm: ‖α·v‖ or ‖s·B·A‖ at this scale.
        residual_share: that of the mean residual norm at the layer on ordinary text; None for a LoRA, whose
            norm is in units of weights.
        kl: KL(chat ‖ adapted) on ordinary text, nats per token.
        loss: on ordinary text, nats per token.
        loss_rise: that minus the chat model's.
    """

    direction: str
    kind: str | None
    layer: int | None
    scale: float
    effective_norm: float
    residual_share: float | None
    kl: Measured
    loss: Measured
    loss_rise: Measured

    @property
    def title(self) -> str:
        """The cell in words."""
        at = "" if self.layer is None else f", layer {self.layer}, {self.scale:g} ×"
        return self.direction + at


def behaved(
    answers: Sequence[Answer],
    chat: Sequence[Answer],
    suites: Sequence[Suite],
    criterion: Criterion,
    suite: str,
) -> Behaved:
    """Rates and coherence of judged answers, where they have scores.

    A judge may give no score to any answer of a suite (all of them noise, say). Then the suite, the macro
    means and the coherent share are missing, and the rest is not.

    Args:
        answers: of one adapter at one scale, or of the chat model.
        chat: the chat model's, to the same questions.
        suites: those that were asked.
        criterion: what counts.
        suite: the suite or macro mean that is compared with the chat model.

    Raises:
        DataError: the chat model's answers of a suite have no scores.
        ConfigError: ``suite`` is none of those that were asked, nor a macro mean of them.
    """
    found, usual = scored_rates(answers, criterion), scored_rates(chat, criterion)
    names = {one.name for one in suites}
    if unscored := names - {one.suite for one in usual}:
        raise DataError(
            f"None of the chat model's answers to suite {min(unscored)!r} has both scores, "
            f"{criterion.column!r} and 'coherent', so there is nothing to compare with: leave the suite out, "
            "or give another judge."
        )
    groups, known = groups_of(found, suites), groups_of(usual, suites)
    if suite not in known:
        raise ConfigError(f"there is no suite {suite!r}; the sweep has {', '.join(known)}.")
    above = None
    if suite in groups:
        difference = macro_difference(_shown(groups[suite]), _shown(known[suite]))
        above = Measured(difference.difference, (difference.low, difference.high))
    whole = names == {one.suite for one in found}
    return Behaved(
        rates={name: rate_of(_shown(group)) for name, group in groups.items()},
        above_chat=above,
        answers=len(answers),
        scored=sum(one.scored for one in found) / len(answers),
        coherent=rate_of([one.coherence for one in found]) if whole else None,
    )


def at_point(curve: Curve, place: int) -> Measured:
    """A curve at one of its points."""
    return Measured(float(curve.mean[place]), (float(curve.low[place]), float(curve.high[place])))


def scored_rates(answers: Iterable[Answer], criterion: Criterion) -> list[SuiteRates]:
    """Rates of the suites that have scores."""
    return rates([one for one in answers if criterion.shown(one.scores) is not None], criterion)


def groups_of(found: Sequence[SuiteRates], suites: Sequence[Suite]) -> dict[str, list[SuiteRates]]:
    """What each rate is the mean of; a macro mean only where none of its suites is missing."""
    groups = {one.suite: [one] for one in found}
    domains = {one.name for one in suites if is_other_domain(one.name)}
    return groups | (macro_groups(found, suites) if domains <= groups.keys() else {})


def _shown(group: Sequence[SuiteRates]) -> list[Counts]:
    return [one.shown for one in group]


def rate_of(strata: Sequence[Counts]) -> Measured:
    """A macro rate."""
    found = macro_rate(strata)
    return Measured(found.rate, (found.low, found.high))
