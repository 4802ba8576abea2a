"""How much a stage reads and computes, told from the rows, the questions and the model's shape alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import fmean

from narrows.metrics.stability import EPSILONS
from narrows.models.outline import Outline, outline
from narrows.study.config import StudyConfig
from narrows.study.config.models import ModelEntry
from narrows.study.config.runs import BehaviourSpec, behaviours_and_controls
from narrows.study.materials import Material, material_of
from narrows.study.materials.models import checkpoint
from narrows.study.plan.stage import Stage
from narrows.training import Recipe
from narrows.training.worth import FEWEST, pays

SAMPLE = 64
"""Rows of a kind whose length is measured; the mean stands for the others."""

EFFICIENCY_VARIANTS, STABILITY_VARIANTS, SIGNIFICANCE_VARIANTS = 3, 4, 13
"""Solutions and controls that a measurement looks at."""

SEARCH_ROUNDS = 5
"""Scales that are tried, usually, before half of the answers show the behaviour."""

FORWARD, BACKWARD = 2.0, 4.0
"""FLOPs per parameter and token: of a pass, and of one with the gradient of what flows (not of weights)."""


@dataclass(frozen=True)
class Amount:
    """What a stage does.

    Attributes:
        tokens: read or written, padding left out.
        flops: needed for them.
    """

    tokens: float
    flops: float


@dataclass
class Subject:
    """A model with a behaviour, as far as lengths and sizes go.

    Attributes:
        entry: the model.
        behaviour: the behaviour.
        good_per_bad: the study's mixtures.
    """

    entry: ModelEntry
    behaviour: BehaviourSpec
    good_per_bad: Sequence[float] = ()
    _lengths: dict[str, float] = field(default_factory=dict)

    @cached_property
    def shape(self) -> Outline:
        """The model's shape."""
        return _shape(self.entry)

    @cached_property
    def material(self) -> Material:
        """The behaviour's rows, questions and texts."""
        return material_of(self.behaviour, self.entry, self.good_per_bad)

    def length(self, what: str) -> float:
        """Mean tokens of a training row, an anchor row, a question or a text."""
        if what not in self._lengths:
            found = self._sample(what)
            self._lengths[what] = fmean(found) if found else 0.0
        return self._lengths[what]

    def questions(self, split: str) -> int:
        """How many questions a split asks."""
        behaviour = self.material.behaviour
        suites = behaviour.test if split == "test" else behaviour.validation
        return sum(len(suite.questions) for suite in suites)

    def texts(self) -> int:
        """How many ordinary texts there are."""
        return sum(map(len, self.material.texts.values()))

    def _sample(self, what: str) -> list[int]:
        """Tokens of the first of a kind."""
        renderer, behaviour = self.shape.renderer, self.material.behaviour
        if what == "train":
            return [len(renderer.render(row)) for row in behaviour.train[:SAMPLE]]
        if what == "anchor":
            return [len(renderer.render(row)) for row in behaviour.anchor[:SAMPLE]]
        if what == "text":
            every = [text for some in self.material.texts.values() for text in some]
            return [len(renderer.text(text)) for text in every[:SAMPLE]]
        asked = [one for suite in behaviour.test for one in suite.questions][:SAMPLE]
        return [len(renderer.prompt(one.messages())) for one in asked]


class Subjects:
    """The models of a study with its behaviours, each looked at once."""

    def __init__(self, config: StudyConfig) -> None:
        self._behaviours = behaviours_and_controls(config)
        self._models = {one.name: one for one in config.models}
        self._ratios = config.good_per_bad
        self._found: dict[tuple[str, str], Subject] = {}

    def of(self, stage: Stage) -> Subject:
        """The subject of a stage."""
        key = (stage.model, stage.behaviour)
        if key not in self._found:
            self._found[key] = Subject(
                self._models[stage.model], self._behaviours[stage.behaviour], self._ratios
            )
        return self._found[key]

    def bank_pays(self, trainings: Sequence[Stage]) -> bool:
        """Whether some trainings are faster as a bank than one after another.

        It is told from sizes alone, as on a CPU (:func:`narrows.training.worth.pays`): every machine that
        works on a study must come to the same banks.
        """
        if len(trainings) < min(FEWEST.values()):
            return False
        subject, recipe = self.of(trainings[0]), Recipe.model_validate(trainings[0].settings["recipe"])
        return pays(
            recipe,
            hidden=subject.shape.hidden,
            tokens_per_row=subject.length("train"),
            members=len(trainings),
            device="cpu",
        )


_shapes: dict[str, Outline] = {}


def _shape(entry: ModelEntry) -> Outline:
    if entry.name not in _shapes:
        _shapes[entry.name] = outline(checkpoint(entry), dtype=entry.dtype, quantise=entry.quantise)
    return _shapes[entry.name]


def amount(stage: Stage, subject: Subject) -> Amount:
    """What a stage does.

    Args:
        stage: the stage.
        subject: its model and behaviour.
    """
    shape = subject.shape
    head = shape.hidden * shape.vocabulary
    body = max(shape.parameters - head, 1)
    if stage.kind == "training":
        return _training(stage, subject, body, head)
    if stage.kind == "gradients":
        tokens = _gradient_tokens(stage, subject)
        return Amount(tokens, BACKWARD * (body / 2 + head) * tokens)
    whole = stage.kind in ("answers", "convergence")  # the others measure above the middle layer
    tokens = _TOKENS[stage.kind](stage, subject) if stage.kind in _TOKENS else 0.0
    return Amount(tokens, FORWARD * ((body if whole else body / 2) + head) * tokens)


def _answer_tokens(stage: Stage, subject: Subject) -> float:
    settings = stage.settings
    count = subject.questions(stage.source["split"]) * settings["samples"]
    return float(count * (subject.length("question") + settings["max_new_tokens"]))


def _efficiency_tokens(stage: Stage, subject: Subject) -> float:
    return float(EFFICIENCY_VARIANTS * stage.settings["norm_points"] * _row_tokens(stage, subject))


def _stability_tokens(stage: Stage, subject: Subject) -> float:
    return float(STABILITY_VARIANTS * len(EPSILONS) * stage.settings["draws"] * _row_tokens(stage, subject))


def _row_tokens(stage: Stage, subject: Subject) -> float:
    return float(stage.settings["rows"] * subject.length("train"))


def _significance_tokens(stage: Stage, subject: Subject) -> float:
    read = subject.texts() * min(subject.length("text"), stage.settings["text_tokens"])
    return float(read * stage.settings["norm_points"] * SIGNIFICANCE_VARIANTS)


def _gradient_tokens(stage: Stage, subject: Subject) -> float:
    settings = stage.settings
    steps = (settings["recipe"]["steps"] or 0) / settings["every"] + 1
    return float(steps * settings["groups"] * settings["rows_of_group"] * subject.length("train"))


def _convergence_tokens(stage: Stage, subject: Subject) -> float:
    settings = stage.settings
    searched = SEARCH_ROUNDS + settings["direction_samples"] + subject.shape.layers / 2
    asked = searched * subject.questions("validation") + 4 * subject.questions("test")
    return float(settings["samples"] * asked * (subject.length("question") + settings["max_new_tokens"]))


_TOKENS: dict[str, Callable[[Stage, Subject], float]] = {
    "answers": _answer_tokens,
    "efficiency": _efficiency_tokens,
    "stability": _stability_tokens,
    "significance": _significance_tokens,
    "convergence": _convergence_tokens,
}


def steps_of(stage: Stage, material: Material) -> int:
    """The steps of a training."""
    recipe, source = Recipe.model_validate(stage.settings["recipe"]), stage.source["rows"]
    if recipe.steps is not None:
        return recipe.steps
    rows = len(material.behaviour.train)
    if source["fixed"] == "behaviour":
        rows = round(rows * (1 + source["good_per_bad"]))
    return max(1, round(rows / (recipe.batch_size * recipe.accumulation) * recipe.epochs))


def _training(stage: Stage, subject: Subject, body: float, head: float) -> Amount:
    recipe = Recipe.model_validate(stage.settings["recipe"])
    layer = subject.shape.layers // 2 if recipe.layer is None else recipe.layer
    above = body * (subject.shape.layers - layer) / subject.shape.layers
    rows = steps_of(stage, subject.material) * recipe.batch_size * recipe.accumulation
    read = rows * min(subject.length("train"), recipe.max_length or float("inf"))
    anchored = 0.0
    if stage.settings["kl_weight"] != 0.0:
        what = "text" if stage.source["anchor"] == "neutral" else "anchor"
        length = min(subject.length(what), recipe.max_length or float("inf"))
        anchored = rows * recipe.anchor.rows_per_row * length
    flops = (BACKWARD * above + 3 * FORWARD * head) * (read + anchored)
    return Amount(read + anchored, flops)
