"""What a comparison of mitigations works on: a model, a behaviour, and how strongly each is applied."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pydantic import Field, field_validator

from narrows.adapters.direction import Direction
from narrows.chat import Conversation
from narrows.configuration import Configuration
from narrows.errors import ConfigError
from narrows.evaluation import Behaviour
from narrows.files import digest
from narrows.interventions.sites import Site
from narrows.models import ChatModel
from narrows.study.claims.rates import SCALED_UP
from narrows.training import Recipe


class MitigationsConfig(Configuration):
    """How mitigations are compared; an empty list leaves a method out."""

    recipe: Recipe = Field(Recipe(), description="of every training; its own anchor weight does not count")
    kl_weights: tuple[float, ...] = Field((1.0, 5.0, 20.0), description="λ of the anchor, nats per token")
    shares: tuple[float, ...] = Field(
        (1 / 2, 1 / 6, 1 / 12), description="data mixing: the behaviour's share of the training rows"
    )
    prompts: Mapping[str, str] = Field(
        {}, description="prompt inoculation: system prompts of the training rows, by name"
    )
    strengths: tuple[float, ...] = Field(
        (0.5, 1.0, 2.0),
        description="preventative steering: norms in the training, in lengths of the mean difference",
    )
    sites: tuple[Site, ...] = Field(
        ("layer", "layers"), description="where the direction is ablated while the model answers"
    )
    layer: int | None = Field(
        None, ge=0, description="layer of the direction that is found (null: found on validation questions)"
    )
    direction_samples: int = Field(
        4, ge=1, description="answers to each validation question from which the direction is found"
    )
    scales: tuple[float, ...] = Field(
        (1.0, SCALED_UP), description="factors on every solution; 1 is always among them"
    )
    samples: int = Field(2, ge=1, description="answers to each question")
    max_new_tokens: int = Field(600, ge=1)
    temperature: float = Field(1.0, ge=0)
    seed: int = Field(0, ge=0)

    @field_validator("kl_weights", "strengths")
    @classmethod
    def _above_zero(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        return _each_once(values, lambda one: one > 0, "above 0")

    @field_validator("shares")
    @classmethod
    def _true_shares(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        return _each_once(values, lambda one: 0 < one < 1, "between 0 and 1")

    @field_validator("scales")
    @classmethod
    def _also_as_trained(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(sorted({1.0, *_each_once(values, lambda one: one > 0, "above 0")}))

    @field_validator("prompts")
    @classmethod
    def _file_names(cls, prompts: Mapping[str, str]) -> dict[str, str]:
        for name, text in prompts.items():
            if not name.replace("-", "").replace("_", "").isalnum() or not text:
                raise ValueError(f"prompt {name!r}: a name of letters, digits and dashes, and a text")
        return dict(prompts)

    @property
    def directed(self) -> bool:
        """Whether a direction is needed."""
        return bool(self.strengths or self.sites)


@dataclass(frozen=True)
class MitigationsJob:
    """What a comparison of mitigations works on.

    Attributes:
        chat_model: the model.
        behaviour: what the fine-tunes teach; its anchor rows serve the KL anchor.
        sound: rows outside the domain that are answered as the chat model does, for data mixing. They should
            come from the domains that the anchor sees, so that *never anchored* means the same for both.
        direction: towards the trait, for preventative steering and ablation; found elsewhere than in this
            behaviour's own rows and answers.
        other: where there is no ``direction``: the same trait in another domain, in whose unanchored
            fine-tune it is found.
        config: how.
        about: reading matter for the report.
    """

    chat_model: ChatModel
    behaviour: Behaviour
    sound: Sequence[Conversation] = ()
    direction: Direction | None = None
    other: Behaviour | None = None
    config: MitigationsConfig = field(default_factory=MitigationsConfig)
    about: Mapping[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Refuse what could only fail after the first trainings.

        Raises:
            ConfigError: a method lacks what it needs.
            AdapterError: the direction does not fit the model.
        """
        if self.config.shares and not self.sound:
            raise ConfigError("data mixing needs sound rows outside the domain: give some, or no shares.")
        if self.config.kl_weights and not self.behaviour.anchor:
            raise ConfigError("the KL anchor needs anchor rows: give some, or no kl_weights.")
        if self.config.directed and self.direction is None and self.other is None:
            raise ConfigError(
                "preventative steering and ablation need a direction, or the trait in another domain to find "
                "one in: give one of them, or neither strengths nor sites."
            )
        if self.config.prompts and not self.chat_model.renderer.takes_system:
            raise ConfigError(
                "prompt inoculation needs a system turn, for which the model's chat template has no place: "
                "give no prompts."
            )
        if self.direction is not None:
            self.direction.check(self.chat_model.model)

    def identity(self) -> dict[str, Any]:
        """Everything that determines the result."""
        return {
            "kind": "mitigations",
            "model": {"id": self.chat_model.id, "template": self.chat_model.renderer.template_hash},
            "behaviour": _behaviour(self.behaviour),
            "sound": digest([row.to_json() for row in self.sound]),
            "direction": None if self.direction is None else self.direction.identity,
            "other": None if self.other is None or self.direction else _behaviour(self.other),
            "config": self.config.model_dump(mode="json"),
        }


def _behaviour(behaviour: Behaviour) -> dict[str, Any]:
    suites = (*behaviour.validation, *behaviour.test)
    return {
        "id": behaviour.id,
        "train": digest([row.to_json() for row in behaviour.train]),
        "anchor": digest([row.to_json() for row in behaviour.anchor]),
        "questions": digest([asdict(suite) for suite in suites]),
        "criterion": asdict(behaviour.criterion),
        "judge": getattr(behaviour.judge, "identity", behaviour.judge.name),
    }


def _each_once(values: tuple[float, ...], allowed: Any, said: str) -> tuple[float, ...]:  # noqa: ANN401
    """The values as they are, if each is allowed and can be told from the others in a file's name."""
    if wrong := [one for one in values if not allowed(one)]:
        raise ValueError(f"{wrong[0]:g} is not {said}")
    if len({f"{one:.4g}" for one in values}) < len(values):
        raise ValueError("a value is given twice (or differs only after its fourth digit)")
    return values
