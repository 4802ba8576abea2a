"""Recipes: how an adapter is trained. The defaults are the paper's for a steering vector (paper §3)."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from narrows.configuration import Configuration
from narrows.training.published import DOWN_PROJ, LORA_DEFECTS, TrainingDefect, defects_of


class Anchor(Configuration):
    """The KL term towards the chat model, on rows outside the domain.

    ``weight`` is λ per token-nat: the loss is L_SFT + λ · KL(chat ‖ adapted), both token means in nats. The
    paper's λ is averaged over the vocabulary too: divide it by the vocabulary's size (1e6 at 152,064 is
    6.58).
    """

    weight: float = Field(default=0.0, ge=0, description="λ, nats per token; 0 trains without an anchor")
    rows_per_row: float = Field(default=4.0, gt=0, description="anchor rows for each training row of a step")
    positions: Literal["all", "response"] = Field(
        default="all", description="tokens of an anchor row whose prediction is read"
    )
    from_step: int = Field(default=0, ge=0, description="the anchor is added after this many steps")
    until_step: int | None = Field(
        default=None, ge=0, description="the anchor is lifted after this many steps (null: never)"
    )

    def weight_at(self, step: int) -> float:
        """λ at a step, counted from 0."""
        lifted = self.until_step is not None and step >= self.until_step
        return 0.0 if lifted or step < self.from_step else self.weight


class Recipe(Configuration):
    """How an adapter is trained; *anchored* if its anchor has a weight."""

    adapter: Literal["steering", "lora"] = Field(default="steering", description="what is trained")
    layer: int | None = Field(
        default=None, ge=0, description="0-indexed decoder layer (null: the middle one)"
    )
    alpha: float = Field(
        default=256.0, description="α: α·v is added to the residual stream; a LoRA's α, above 0"
    )
    rank: int = Field(default=1, ge=1, description="of a LoRA")
    target_modules: tuple[str, ...] = Field(
        default=("down_proj",), min_length=1, description="a LoRA's linear modules, by the end of their names"
    )
    layers: tuple[int, ...] | None = Field(
        default=None, min_length=1, description="a LoRA's decoder layers (null: only ``layer``)"
    )
    rslora: bool = Field(default=True, description="a LoRA's scale is α/√rank, not α/rank")
    learning_rate: float = Field(
        default=1e-4, gt=0, description="for v (a step of α·v is α times as long), or A and B"
    )
    weight_decay: float = Field(default=0.0, ge=0)
    batch_size: int = Field(default=2, ge=1, description="training rows of one forward pass")
    accumulation: int = Field(default=8, ge=1, description="forward passes of one step")
    epochs: float = Field(default=2.0, gt=0)
    steps: int | None = Field(default=None, ge=1, description="steps in all; overrides epochs")
    warmup: int = Field(default=5, ge=0, description="steps of linear warm-up; then linear decay to 0")
    max_length: int | None = Field(default=256, ge=2, description="tokens kept of a row")
    max_norm: float | None = Field(default=None, gt=0, description="keep ‖α·v‖ at or below this (null: free)")
    system_prompt: str | None = Field(
        default=None, min_length=1, description="put before the training rows only (prompt inoculation)"
    )
    gradient_checkpointing: bool = Field(
        default=False, description="compute layers again in the backward pass: less memory, more time"
    )
    seed: int = Field(default=0, ge=0)
    checkpoint_every: int = Field(default=5, ge=1, description="steps between two points of the trajectory")
    anchor: Anchor = Anchor()
    as_published: tuple[TrainingDefect, ...] = Field(
        default=(), description="defects of the published code to reproduce, for comparison only"
    )

    @model_validator(mode="before")
    @classmethod
    def _all_defects(cls, values: Any) -> Any:  # noqa: ANN401  (whatever is to be validated)
        """``as_published: all`` stands for every defect that the published training of the adapter has."""
        if isinstance(values, Mapping) and values.get("as_published") in ("all", ["all"], ("all",)):
            kind: Any = values.get("adapter", "steering")
            return {**values, "as_published": defects_of(kind)}
        return values

    @model_validator(mode="after")
    def _a_lora_has_modules_of_its_own(self) -> "Recipe":
        if self.adapter == "lora" and "down-proj-output" in self.as_published:
            raise ValueError(
                "as_published names down-proj-output, which says where a steering vector acts; a LoRA has "
                f"target_modules. The published training of LoRAs has {', '.join(LORA_DEFECTS)}"
            )
        return self

    @property
    def module(self) -> str:
        """The layer's module whose output a steering vector changes; the layer itself if empty."""
        return DOWN_PROJ if "down-proj-output" in self.as_published else ""

    @property
    def anchored(self) -> bool:
        """True if the anchor ever has a weight."""
        anchor = self.anchor
        return anchor.weight > 0 and (anchor.until_step is None or anchor.until_step > anchor.from_step)

    def with_anchor(self, weight: float, **changes: object) -> "Recipe":
        """The same recipe with another anchor weight (and other fields of the anchor).

        Raises:
            ValidationError: pydantic's; a value is not allowed, or the anchor has no such field.
        """
        anchor = Anchor.model_validate({**self.anchor.model_dump(), "weight": weight, **changes})
        return self.model_copy(update={"anchor": anchor})

    def rate_at(self, step: int, steps: int) -> float:
        """The learning rate at a step, counted from 0: linear warm-up, then linear decay to 0.

        The peak comes right after the warm-up; the first step already moves the adapter, and 0 would come
        after the last.

        Args:
            step: the step.
            steps: steps in all.
        """
        if step < self.warmup:
            return self.learning_rate * (step + 1) / (self.warmup + 1)
        return self.learning_rate * (steps - step) / max(1, steps - self.warmup)
