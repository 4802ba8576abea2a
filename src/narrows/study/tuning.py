"""Finding the smallest λ whose solution is narrow, by the rule of C2 on validation questions."""

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from narrows.adapters import Adapter
from narrows.configuration import Configuration
from narrows.errors import ConfigError
from narrows.evaluation import CHAT, IN_DOMAIN, Behaviour, SuiteRates, rates
from narrows.models import ChatModel
from narrows.study.answering import judged_answers
from narrows.study.claims.rates import EQUIVALENCE_MARGIN, NARROW_MARGIN, SCALED_UP, RateTable
from narrows.training import Recipe, train

SCALES = (1.0, SCALED_UP)
"""The scales at which a λ is judged, by the rule of C2."""


class TuningConfig(Configuration):
    """How λ is found: the smallest whose solution is narrow on validation questions."""

    recipe: Recipe = Recipe()
    smallest: float = Field(0.05, gt=0, description="smallest λ tried, nats per token")
    largest: float = Field(50.0, gt=0, description="largest λ tried")
    factor: float = Field(2.0, gt=1, description="ratio of neighbouring λ on the grid")
    samples: int = Field(2, ge=1, description="answers to each question")
    max_new_tokens: int = Field(600, ge=1, description="tokens of the longest answer")
    temperature: float = Field(1.0, ge=0, description="of the sampling; 0 takes the likeliest token")
    seed: int = Field(0, description="draws the answers")

    @property
    def grid(self) -> list[float]:
        """The λ that may be tried, rising.

        Raises:
            ConfigError: there is none.
        """
        count = math.floor(math.log(self.largest / self.smallest, self.factor) + 1e-9) + 1
        if count < 1:
            raise ConfigError(f"the largest λ, {self.largest:g}, lies below the smallest, {self.smallest:g}.")
        return [self.smallest * self.factor**place for place in range(count)]


@dataclass(frozen=True)
class Trial:
    """One λ that was tried: its differences from the chat model on validation questions (estimates).

    Attributes:
        kl_weight: λ.
        in_domain: difference of the in-domain rate.
        outside: the larger difference of the never-anchored and open rates.
        outside_scaled: the same at :data:`narrows.study.claims.rates.SCALED_UP` times the norm.
    """

    kl_weight: float
    in_domain: float
    outside: float
    outside_scaled: float

    @property
    def distance(self) -> float:
        """How much more the behaviour shows inside than outside, at the trained norm."""
        return self.in_domain - self.outside

    @property
    def quiet(self) -> bool:
        """Whether the outside estimate leaves room for an interval below the margin of C2: half of it.

        Estimates, because validation has too few topics for interval bounds below the margin.
        """
        return self.outside < EQUIVALENCE_MARGIN / 2

    @property
    def narrow(self) -> bool:
        """The rule of C2 at the trained norm."""
        return self.in_domain > NARROW_MARGIN and self.quiet

    @property
    def stays_narrow(self) -> bool:
        """The whole rule of C2: narrow, and quiet when scaled up too."""
        return self.narrow and self.outside_scaled < EQUIVALENCE_MARGIN / 2


@dataclass(frozen=True)
class Tuned:
    """The result of tuning: all trials, by λ."""

    trials: list[Trial]

    @property
    def kl_weight(self) -> float | None:
        """The smallest λ tried whose solution is narrow by the whole rule of C2; None if there is none."""
        return min((trial.kl_weight for trial in self.trials if trial.stays_narrow), default=None)

    @property
    def best(self) -> float:
        """The chosen λ: :attr:`kl_weight`; without one the smallest that is narrow at its own norm; without
        one that with the widest distance between inside and outside.
        """
        narrow = [trial.kl_weight for trial in self.trials if trial.narrow]
        if self.kl_weight is not None:
            return self.kl_weight
        if narrow:
            return min(narrow)
        return max(self.trials, key=lambda trial: trial.distance).kl_weight

    @property
    def how(self) -> str:
        """How :attr:`best` was chosen, in words."""
        if self.kl_weight is not None:
            return "the smallest that was narrow on validation questions"
        if any(trial.narrow for trial in self.trials):
            return f"the smallest that was narrow on validation questions; none stayed so at {SCALED_UP:g} ×"
        return "none was narrow on validation questions; this one came nearest"


def tune(chat_model: ChatModel, behaviour: Behaviour, config: TuningConfig, out: Path | None = None) -> Tuned:
    """Find the smallest λ of a geometric grid whose solution is narrow on validation questions.

    Args:
        chat_model: the model.
        behaviour: what is taught.
        config: the grid, and how solutions are trained and asked.
        out: each training is kept in a folder there (:func:`training_folder`) and found again.

    Raises:
        ConfigError: the grid is empty.
    """
    grid = config.grid
    chat = _rates(chat_model, behaviour, None, config)
    return search(grid, lambda weight: _try(chat_model, behaviour, config, weight=weight, chat=chat, out=out))


def training_folder(out: Path, weight: float) -> Path:
    """Where :func:`tune` keeps the training of one λ."""
    return out / f"kl-{weight:g}"


def search(grid: Sequence[float], attempt: Callable[[float], Trial]) -> Tuned:
    """Try as few λ of a rising grid as show which is the smallest narrow one.

    Outside rates fall as λ grows, so the grid is bisected: first for the rule at the trained norm, then,
    if the largest λ keeps the whole rule, between the two for that. If none is narrow, the search climbs to
    the λ whose neighbours have a smaller distance between inside and outside.
    """
    trials: dict[int, Trial] = {}

    def trial(place: int) -> Trial:
        if place not in trials:
            trials[place] = attempt(grid[place])
        return trials[place]

    last = len(grid) - 1
    first = bisect_left(range(last), True, key=lambda place: trial(place).quiet)
    found = trial(first)
    if found.narrow and not found.stays_narrow and trial(last).stays_narrow:
        bisect_left(range(last), True, lo=first, key=lambda place: trial(place).stays_narrow)
    while not any(one.narrow for one in trials.values()):
        top = max(trials, key=lambda place: trials[place].distance)
        untried = {max(top - 1, 0), min(top + 1, last)} - trials.keys()
        if not untried:
            break
        for place in untried:
            trial(place)
    return Tuned([trials[place] for place in sorted(trials)])


def _try(
    chat_model: ChatModel,
    behaviour: Behaviour,
    config: TuningConfig,
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
        out=None if out is None else training_folder(out, weight),
        name=f"tuning, λ = {weight:g}",
    )
    measured = {("chat", 1.0): chat}
    for scale in SCALES:
        measured["tried", scale] = _rates(chat_model, behaviour, run.adapter, config, scale)
    table = RateTable(measured, behaviour.validation)
    return trial_of(table, weight, "tried")


def trial_of(table: RateTable, weight: float, solution: str) -> Trial:
    """What the rates of a solution on validation questions say of its λ.

    A broken solution's answers may have no scores at all: then it shows nothing in its domain.
    """
    shown = table.compares(IN_DOMAIN, solution)
    inside = table.minus(IN_DOMAIN, solution).difference if shown else 0.0
    return Trial(weight, inside, *(outside_of(table, solution, scale) for scale in SCALES))


def outside_of(table: RateTable, solution: str, scale: float) -> float:
    """How far a solution's behaviour shows outside: the larger rate, never anchored or open, over the chat
    model's (see :meth:`narrows.study.claims.RateTable.outside`). Of what has no rate there nobody can say
    that it is quiet: 1.
    """
    suites = table.outside(solution, scale)
    return max((table.minus(suite, solution, scale).difference for suite in suites), default=1.0)


def _rates(
    chat_model: ChatModel,
    behaviour: Behaviour,
    adapter: Adapter | None,
    config: TuningConfig,
    scale: float = 1.0,
) -> list[SuiteRates]:
    """Rates of a solution (None: the chat model) on the validation questions, by suite."""
    name = CHAT if adapter is None else "solution"
    scored = judged_answers(
        chat_model, behaviour, behaviour.validation, adapter, config, name=name, scale=scale
    )
    return rates(scored, behaviour.criterion)
