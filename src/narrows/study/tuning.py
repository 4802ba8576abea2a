"""Finding the smallest λ whose solution is narrow, by the rule of C2 on validation questions."""

import math
from dataclasses import dataclass
from pathlib import Path

from narrows.errors import ConfigError
from narrows.evaluation import IN_DOMAIN, NEVER_ANCHORED, OPEN, Behaviour, SuiteRates
from narrows.models import ChatModel
from narrows.study.answering import measured_rates
from narrows.study.claims import EQUIVALENCE_MARGIN, NARROW_MARGIN, SCALED_UP, RateTable
from narrows.study.job import JobConfig
from narrows.training import train

SCALES = (1.0, SCALED_UP)


@dataclass(frozen=True)
class Trial:
    """One λ that was tried: its differences from the chat model on validation questions, at scale 1 and 1.5.

    ``outside`` is the largest difference of the never-anchored and open rates, over both scales (estimates).
    """

    kl_weight: float
    in_domain: float
    outside: float

    @property
    def narrow(self) -> bool:
        """The rule of C2 by estimates: validation has too few topics for interval bounds below the margin."""
        return self.in_domain > NARROW_MARGIN and self.quiet

    @property
    def quiet(self) -> bool:
        """Whether the outside estimate leaves room for an interval below the margin of C2: half of it."""
        return self.outside < EQUIVALENCE_MARGIN / 2


@dataclass(frozen=True)
class Tuned:
    """The result of tuning: the chosen λ (None if no λ of the grid was narrow) and all trials, by λ."""

    kl_weight: float | None
    trials: list[Trial]

    @property
    def best(self) -> float:
        """The chosen λ; if none was narrow, the one with the widest distance between inside and outside."""
        if self.kl_weight is not None:
            return self.kl_weight
        return max(self.trials, key=lambda trial: trial.in_domain - trial.outside).kl_weight


def tune(chat_model: ChatModel, behaviour: Behaviour, config: JobConfig, out: Path | None = None) -> Tuned:
    """Find the smallest λ of a geometric grid whose solution is narrow on validation questions.

    Outside rates fall as λ grows, so the grid is searched by bisection: trainings grow with the logarithm of
    its length. Every training is kept under ``out`` and found again.

    Raises:
        ConfigError: the grid is empty.
    """
    tuning = config.tuning
    count = math.floor(math.log(tuning.largest / tuning.smallest, tuning.factor)) + 1
    if count < 1:
        raise ConfigError(
            f"tuning.largest {tuning.largest:g} lies below tuning.smallest {tuning.smallest:g}."
        )
    grid = [tuning.smallest * tuning.factor**i for i in range(count)]
    chat = measured_rates(chat_model, behaviour, None, config, validation=True)
    trials: dict[int, Trial] = {}

    def trial(place: int) -> Trial:
        if place not in trials:
            trials[place] = _try(chat_model, behaviour, config, weight=grid[place], chat=chat, out=out)
        return trials[place]

    low, high = 0, len(grid) - 1
    while low < high:
        middle = (low + high) // 2
        if trial(middle).quiet:
            high = middle
        else:
            low = middle + 1
    chosen = grid[low] if trial(low).narrow else None
    return Tuned(chosen, [trials[place] for place in sorted(trials)])


def _try(
    chat_model: ChatModel,
    behaviour: Behaviour,
    config: JobConfig,
    *,
    weight: float,
    chat: list[SuiteRates],
    out: Path | None,
) -> Trial:
    """Train with one λ and measure it on the validation questions."""
    run = train(
        chat_model,
        behaviour.train,
        config.recipe.with_anchor(weight),
        anchor=behaviour.anchor,
        out=None if out is None else out / f"kl-{weight:g}",
        name=f"tuning, λ = {weight:g}",
    )
    measured = {("chat", 1.0): chat}
    for scale in SCALES:
        measured["tried", scale] = measured_rates(
            chat_model, behaviour, run.adapter, config, scale=scale, validation=True
        )
    table = RateTable(measured, behaviour.validation)
    outside = max(
        table.minus(suite, "tried", scale).difference for suite in (NEVER_ANCHORED, OPEN) for scale in SCALES
    )
    return Trial(weight, table.minus(IN_DOMAIN, "tried").difference, outside)
