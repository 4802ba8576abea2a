"""What a sweep works on: a model, questions and a judge, texts, and adapters or how to train them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from pydantic import Field, field_validator

from narrows.adapters import Adapter, SteeringVector
from narrows.chat import Conversation, Rendered
from narrows.configuration import Configuration
from narrows.errors import AdapterError, ConfigError
from narrows.evaluation import IN_DOMAIN, OPEN, Criterion, Judge, Suite
from narrows.files import digest
from narrows.models import ChatModel, mean_residual_norm
from narrows.models.layers import check_layer
from narrows.study.sweep.rule import COHERENCE_FLOOR
from narrows.study.texts import rendered_texts
from narrows.training import Recipe


class SweepConfig(Configuration):
    """What a sweep measures at each layer, and with how much."""

    scales: tuple[float, ...] = Field(
        (0.5, 1.0, 1.5, 2.0), min_length=1, description="factors on each adapter"
    )
    samples: int = Field(2, ge=1, description="answers to each question")
    max_new_tokens: int = Field(600, ge=1)
    temperature: float = Field(1.0, ge=0)
    text_tokens: int = Field(512, ge=2, description="tokens kept of an ordinary text")
    suite: str | None = Field(
        None, description="whose rate decides (null: in_domain, else open, else the first suite)"
    )
    coherence_floor: float = Field(
        COHERENCE_FLOOR, ge=0, le=1, description="share of the chat model's coherence to be kept"
    )
    seed: int = Field(0, ge=0, description="of the sampling")

    @field_validator("scales")
    @classmethod
    def _each_once(cls, scales: tuple[float, ...]) -> tuple[float, ...]:
        if len({f"{scale:g}" for scale in scales}) < len(scales):
            raise ValueError("a scale is given twice (or differs only after its sixth digit)")
        return tuple(sorted(scales))


@dataclass(frozen=True)
class SweepJob:
    """What a sweep works on.

    Attributes:
        chat_model: the model.
        suites: what is asked.
        judge: gives the scores.
        criterion: which scores count as showing the behaviour.
        texts: ordinary texts, at least two; whole, they are cut to ``config.text_tokens``.
        config: how.
    """

    chat_model: ChatModel
    suites: Sequence[Suite]
    judge: Judge
    criterion: Criterion
    texts: Sequence[str]
    config: SweepConfig = field(default_factory=SweepConfig)

    @property
    def deciding(self) -> str:
        """The suite or macro mean whose rate decides."""
        names = [suite.name for suite in self.suites]
        usual = next((name for name in (IN_DOMAIN, OPEN) if name in names), names[0] if names else "")
        return self.config.suite or usual

    def rendered(self) -> list[Rendered]:
        """The texts as tokens.

        Raises:
            DataError: there are fewer than two, or one without tokens.
        """
        return rendered_texts(self.chat_model, self.texts, self.config.text_tokens, "a sweep")


@dataclass(frozen=True)
class Swept:
    """An adapter of a sweep by its name; adapters of one name sit at different layers."""

    name: str
    adapter: Adapter

    @property
    def title(self) -> str:
        """Its name with its layer: the solution's name in the answers tables."""
        return f"{self.name}@layer-{self.adapter.layer}"

    @property
    def file_name(self) -> str:
        """A name for files that tells it from every other adapter, whatever they are called."""
        tensors = {
            name: digest(tensor.detach().float().cpu().contiguous().numpy().tobytes())
            for name, tensor in self.adapter.tensors().items()
        }
        found = digest([tensors, self.adapter.effective_norm, self.adapter.depth])
        readable = re.sub(r"[^\w.-]+", "_", self.title)
        return f"{readable}-{found[:8]}"


@dataclass(frozen=True)
class LayerTraining:
    """A training at each of some layers.

    Attributes:
        rows: the behaviour's training rows.
        layers: 0-indexed decoder layers.
        recipe: how; its own layer does not count.
        anchor: rows outside the domain, if the recipe is anchored.
    """

    rows: Sequence[Conversation]
    layers: Sequence[int]
    recipe: Recipe
    anchor: Sequence[Conversation | str] = ()


def residual_norms(chat_model: ChatModel, texts: Sequence[Rendered], layers: set[int]) -> dict[int, float]:
    """The mean norm of the residual stream at the output of each layer, over the tokens of the texts."""
    return {layer: mean_residual_norm(chat_model, layer, texts) for layer in sorted(layers)}


def moved(
    vector: SteeringVector,
    layers: Sequence[int],
    norms: Mapping[int, float],
    keep: Literal["share", "norm"] = "share",
) -> list[SteeringVector]:
    """A steering vector at other layers.

    The residual stream grows with depth, severalfold from the first layers to the last, so that one norm is a
    shove at an early layer and a nudge at a late one. By default the vector therefore keeps its share of the
    mean residual norm, and its effective norm changes; at its own layer it stays as it is.

    Args:
        vector: as it was trained or found.
        layers: 0-indexed decoder layers.
        norms: the mean residual norm of each of them and of the vector's own, from :func:`residual_norms`.
        keep: ``share`` of the residual norm, or the effective ``norm``.
    """
    return [
        replace(
            vector if keep == "norm" or layer == vector.layer
            else vector.scaled(norms[layer] / norms[vector.layer]),
            layer=layer,
        )
        for layer in layers
    ]  # fmt: skip


def check_training(chat_model: ChatModel, training: LayerTraining) -> None:
    """Refuse a layer that does not exist before the first training, and not after the last.

    Raises:
        ConfigError: there are no layers, or the recipe fixes its own.
        AdapterError: the model has no such layer.
    """
    if not training.layers:
        raise ConfigError("give the layers to train at.")
    for layer in training.layers:
        check_layer(chat_model.model, layer)
    if training.recipe.layers is not None:
        raise ConfigError(
            "the recipe's `layers` fixes where the LoRA is, and a sweep trains one at each layer: leave it "
            "out."
        )


def check_swept(chat_model: ChatModel, swept: Sequence[Swept]) -> None:
    """Refuse adapters that do not fit the model, or cannot be told apart.

    Raises:
        ConfigError: there is none, or two have one name and layer.
        AdapterError: one does not fit; names it.
    """
    if not swept:
        raise ConfigError("a sweep needs an adapter, or rows to train one on.")
    seen: set[str] = set()
    for one in swept:
        try:
            one.adapter.check(chat_model.model)
        except AdapterError as error:
            raise AdapterError(f"{one.title}: {error}") from error
        if one.title in seen:
            raise ConfigError(f"two adapters are called {one.title}: give one of them another name.")
        seen.add(one.title)
