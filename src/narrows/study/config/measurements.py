"""What a study measures, and with how much."""

from typing import Annotated

from pydantic import Field, field_validator

from narrows.configuration import Configuration
from narrows.study.claims.rates import SCALED_UP
from narrows.study.config.expanding import OneOrMore


class Measurements(Configuration):
    """What is taken of every run; each part can be left out, and then its claims are not decided."""

    samples: int = Field(2, ge=1, description="answers to each question")
    max_new_tokens: int = Field(600, ge=1)
    temperature: float = Field(1.0, ge=0)
    scales: Annotated[tuple[float, ...], OneOrMore] = Field(
        (1.0, 1.5, 2.0, 3.0), description="factors on the anchored solution; 1 and 1.5 are always among them"
    )
    unanchored_scales: Annotated[tuple[float, ...], OneOrMore] = Field(
        (1.0,), description="factors on the unanchored solution; 1 is always among them"
    )
    grid_answers: bool = Field(True, description="ask every λ of the grid, for the frontier")
    efficiency: bool = Field(True, description="loss at equal norm (C4)")
    stability: bool = Field(True, description="loss under noise (C5)")
    significance: bool = Field(True, description="KL on ordinary text (C6)")
    lifted: bool = Field(True, description="train on with the anchor lifted, added and kept (C7)")
    gradients: bool = Field(True, description="follow the loss gradient (C8)")
    trajectory: bool = Field(True, description="the checkpoints of the runs in one basis")
    convergence: bool = Field(True, description="ablate one fine-tune's direction in another's (C10)")
    authors: bool = Field(
        False,
        description="look at a microworld's model before any fine-tuning: what it takes authors to be",
    )
    rows: int = Field(100, ge=8, description="training rows whose loss is measured")
    norm_points: int = Field(10, ge=2, description="points on the norm axes")
    draws: int = Field(10, ge=2, description="noise draws for stability")
    text_tokens: int = Field(512, ge=8, description="tokens kept of an ordinary text")
    reoptimised_steps: int = Field(
        0, ge=0, description="steps of training on under each norm, a control of C4; 0 leaves it out"
    )
    neutral_factors: Annotated[tuple[float, ...], OneOrMore] = Field(
        (),
        description="factors on λ for anchors of neutral text, a control of C4; the nearest in loss counts",
    )
    gradient_every: int = Field(20, ge=1, description="steps between two gradients")
    gradient_groups: int = Field(8, ge=2, description="disjoint groups of training rows")
    gradient_rows: int = Field(16, ge=1, description="rows of a group")
    direction_samples: int = Field(
        4, ge=1, description="answers to each validation question from which C10's direction is found"
    )

    @field_validator("scales")
    @classmethod
    def _the_claims_need_two(cls, scales: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(sorted({1.0, SCALED_UP, *scales}))

    @field_validator("unanchored_scales")
    @classmethod
    def _the_claims_need_one(cls, scales: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(sorted({1.0, *scales}))
