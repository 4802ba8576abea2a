"""How much a stage reads and computes, told from the rows, the questions and the model's shape alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import fmean
from typing import Any

from narrows.chat import Rendered
from narrows.models.outline import Outline, outline
from narrows.study.config.models import ModelEntry
from narrows.study.config.runs import BehaviourSpec
from narrows.study.materials import Material, material_of
from narrows.study.materials.models import checkpoint
from narrows.study.plan.stage import Stage
from narrows.training import Recipe

SAMPLE = 64
"""Rows of a kind whose length is measured; the mean stands for the others."""

STABILITY_POINTS = 12
STABILITY_VARIANTS = 4
RANDOM_VARIANTS = 12
SEARCH_ROUNDS = 5
FORWARD, BACKWARD = 2.0, 4.0
"""FLOPs per parameter and token: of a pass, and of a pass with the gradient of what flows (not of weights)."""


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
            found = [len(one) for one in self._sample(what)]
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

    def _sample(self, what: str) -> list[Rendered]:
        renderer, behaviour = self.shape.renderer, self.material.behaviour
        if what == "train":
            return [renderer.render(row, None) for row in behaviour.train[:SAMPLE]]
        if what == "anchor":
            return [renderer.render(row, None) for row in behaviour.anchor[:SAMPLE]]
        if what == "text":
            every = [text for some in self.material.texts.values() for text in some]
            return [renderer.text(text, None) for text in every[:SAMPLE]]
        asked = [one for suite in behaviour.test for one in suite.questions][:SAMPLE]
        return [renderer.prompt(one.messages()) for one in asked]


_shapes: dict[str, Outline] = {}


def _shape(entry: ModelEntry) -> Outline:
    if entry.name not in _shapes:
        _shapes[entry.name] = outline(checkpoint(entry), dtype=entry.dtype, quantise=entry.quantise)
    return _shapes[entry.name]


def amount(stage: Stage, subject: Subject, measure: Mapping[str, Any]) -> Amount:
    """What a stage does.

    Args:
        stage: the stage.
        subject: its model and behaviour.
        measure: the study's measurements, for what the stage's settings do not say.
    """
    shape, settings = subject.shape, stage.settings
    head = shape.hidden * shape.vocabulary
    body = max(shape.parameters - head, 1)
    if stage.kind == "training":
        return _training(stage, subject, body, head)
    if stage.kind == "answers":
        count = subject.questions(stage.source["split"]) * settings["samples"]
        tokens = count * (subject.length("question") + settings["max_new_tokens"])
        return Amount(tokens, FORWARD * (body + head) * tokens)
    half = body / 2 + head  # of a measurement above the middle layer
    if stage.kind in ("efficiency", "stability"):
        variants = (
            3 * settings["norm_points"]
            if stage.kind == "efficiency"
            else STABILITY_VARIANTS * STABILITY_POINTS * settings["draws"]
        )
        tokens = settings["rows"] * subject.length("train") * variants
        return Amount(tokens, FORWARD * half * tokens)
    if stage.kind == "significance":
        read = subject.texts() * min(subject.length("text"), settings["text_tokens"])
        tokens = read * settings["norm_points"] * (RANDOM_VARIANTS + 1)
        return Amount(tokens, FORWARD * half * tokens)
    if stage.kind == "gradients":
        steps = (settings["recipe"]["steps"] or 0) / settings["every"] + 1
        tokens = steps * settings["groups"] * settings["rows_of_group"] * subject.length("train")
        return Amount(tokens, BACKWARD * half * tokens)
    if stage.kind == "convergence":
        searched = SEARCH_ROUNDS + settings["direction_samples"] + shape.layers / 2
        asked = searched * subject.questions("validation") + 4 * subject.questions("test")
        tokens = settings["samples"] * asked * (subject.length("question") + settings["max_new_tokens"])
        return Amount(tokens, FORWARD * (body + head) * tokens)
    return Amount(0.0, 0.0)


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
