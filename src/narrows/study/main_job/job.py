"""The main job's inputs: one chat model, one behaviour, and how much is measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from narrows.evaluation import Behaviour
from narrows.models import ChatModel
from narrows.study.claims.rates import SCALED_UP
from narrows.training import Recipe


class Tuning(BaseModel):
    """How λ is found when none is given: the smallest whose solution is narrow on validation questions."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    smallest: float = Field(0.05, gt=0, description="smallest λ tried")
    largest: float = Field(50.0, gt=0, description="largest λ tried")
    factor: float = Field(2.0, gt=1, description="ratio of neighbouring λ on the grid")
    samples: int = Field(2, ge=1, description="answers to each validation question")


class JobConfig(BaseModel):
    """How the main job is done; all fields may stand in ``--config``, the common ones are flags."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: Recipe = Recipe()
    kl_weight: float | None = Field(None, gt=0, description="λ of the anchored solution (null: tune it)")
    tuning: Tuning = Tuning()
    samples: int = Field(2, ge=1, description="answers to each question")
    max_new_tokens: int = Field(600, ge=1)
    temperature: float = Field(1.0, ge=0)
    scales: tuple[float, ...] = Field(
        (1.0, 1.5, 2.0, 3.0), description="factors on the trained solutions; 1 and 1.5 are always among them"
    )
    rows: int = Field(100, ge=8, description="training rows whose loss is measured")
    norm_points: int = Field(10, ge=2, description="points on the norm axes")
    draws: int = Field(10, ge=2, description="noise draws for stability")
    text_tokens: int = Field(512, ge=8, description="tokens kept of a text for significance")
    control_steps: int | None = Field(
        None, ge=1, description="steps of the control trainings (null: the recipe's)"
    )
    reoptimised_steps: int = Field(
        60, ge=0, description="steps of re-optimisation at each norm; 0 leaves it out"
    )
    neutral_trials: int = Field(2, ge=0, description="trainings to match the neutral anchor; 0 leaves it out")
    gradients: bool = Field(
        False, description="also follow the loss gradient (C8): two more trainings, of another row order"
    )
    seed: int = 0

    @field_validator("scales")
    @classmethod
    def _the_claims_need_two(cls, scales: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(sorted({1.0, SCALED_UP, *scales}))


@dataclass(frozen=True)
class MainJob:
    """What the main job works on.

    Attributes:
        chat_model: the model.
        behaviour: what the fine-tunes teach.
        texts: pre-training text by type, for significance.
        neutral: texts without the behaviour's subject, for the neutral-anchor control.
        other: another behaviour, whose general direction is a control for significance.
        config: how.
        about: reading matter for the report (the world's shares, say).
    """

    chat_model: ChatModel
    behaviour: Behaviour
    texts: Mapping[str, Sequence[str]]
    neutral: Sequence[str] = ()
    other: Behaviour | None = None
    config: JobConfig = field(default_factory=JobConfig)
    about: Mapping[str, Any] = field(default_factory=dict)
