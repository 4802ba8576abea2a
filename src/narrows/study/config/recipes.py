"""How a study's solutions are trained: adapters, λ, mixtures."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from narrows.configuration import Configuration
from narrows.study.config.expanding import OneOrMore
from narrows.summary import FixedRows


def rising_weights(weights: tuple[float, ...]) -> tuple[float, ...]:
    """A λ grid in order, each λ once.

    Raises:
        ValueError: one is not above 0.
    """
    if any(one <= 0 for one in weights):
        raise ValueError("λ must be above 0: 0 is the unanchored solution, which is always trained")
    return tuple(sorted(set(weights)))


class Mixtures(Configuration):
    """Trainings on the behaviour's rows among good rows of other domains (C3)."""

    good_per_bad: Annotated[tuple[float, ...], OneOrMore] = Field(
        (1.0, 3.0, 6.0, 12.0),
        min_length=1,
        description="good rows for each of the behaviour's; the unmixed 1:0 is the unanchored solution",
    )
    fixed: Annotated[tuple[FixedRows, ...], OneOrMore] = Field(
        ("behaviour", "total"),
        min_length=1,
        description="what a series keeps: the behaviour's rows (so that mixtures are longer), or all rows",
    )

    @field_validator("good_per_bad")
    @classmethod
    def _positive(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if min(value) <= 0:
            raise ValueError("a mixture needs good rows: give numbers above 0")
        return tuple(sorted(set(value)))


class AdapterEntry(Configuration):
    """A kind of adapter; ``rank`` and ``layer`` expand."""

    adapter: Literal["steering", "lora"] = Field("steering", description="what is trained")
    rank: Annotated[tuple[int, ...], OneOrMore] = Field((1,), min_length=1, description="a LoRA's; expands")
    layer: Annotated[tuple[int | None, ...], OneOrMore] = Field(
        (None,), min_length=1, description="0-indexed decoder layer (null: the recipe's); expands"
    )
    recipe: dict[str, Any] = Field({}, description="fields of the recipe that differ for this adapter")
    anchored: dict[str, Any] = Field(
        {}, description="fields of the recipe that differ, further, for its anchored trainings"
    )
    kl_weights: Annotated[tuple[float, ...], OneOrMore] | None = Field(
        None, description="the λ grid of this adapter (null: the study's)"
    )
    kl_weight: float | None = Field(
        None, gt=0, description="the λ that its claims are about (null: the study's)"
    )
    mixtures: Mixtures | None = Field(None, description="its mixtures (null: the study's)")
    kinds: Annotated[tuple[str, ...], OneOrMore] | None = Field(
        None, description="kinds of behaviour that it is trained on (null: all)"
    )

    @field_validator("kl_weights")
    @classmethod
    def _rising(cls, value: tuple[float, ...] | None) -> tuple[float, ...] | None:
        return None if value is None else rising_weights(value)

    @field_validator("layer", mode="before")
    @classmethod
    def _the_recipes(cls, value: Any) -> Any:  # noqa: ANN401
        return [None] if value is None else value
