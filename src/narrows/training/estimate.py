"""What a training will cost, before it is begun: steps, tokens, and a rough estimate of memory."""

from collections.abc import Sequence
from dataclasses import dataclass

from narrows.chat import Rendered
from narrows.models.head import chunk_of
from narrows.training.order import RowOrder
from narrows.training.recipe import Recipe
from narrows.training.window import JOINED_TOKENS

ACTIVATIONS = 17
"""Numbers kept for the backward pass, per token, layer and unit of width, with a memory-efficient attention
(34 bytes in a 2-byte dtype: Korthikanti et al. 2022).
"""

LOGITS = 4
"""Tensors as large as a chunk's logits that exist while a loss and its gradient are taken."""


@dataclass(frozen=True)
class Estimate:
    """A training's cost.

    Attributes:
        steps: updates.
        tokens: tokens of training rows that will be run, padding left out.
        anchor_tokens: the same for anchor rows.
        weights: bytes of the frozen model.
        activations: bytes kept for one pass's backward on a GPU (rough).
        logits: bytes of the logits that exist at a time (:data:`LOGITS` fp32 tensors of one chunk, on a GPU).
        logits_avoided: bytes of one pass's logits in fp32, had they been made whole.
    """

    steps: int
    tokens: int
    anchor_tokens: int
    weights: int
    activations: int
    logits: int
    logits_avoided: int

    @property
    def peak(self) -> int:
        """Bytes in all."""
        return self.weights + self.activations + self.logits


def estimate(
    recipe: Recipe,
    rows: Sequence[Rendered],
    anchor: Sequence[Rendered],
    *,
    parameters: int,
    itemsize: int,
    layers: int,
    hidden: int,
    vocabulary: int,
) -> Estimate:
    """Estimate a training's cost.

    Args:
        recipe: how it is trained.
        rows: the training rows as tokens.
        anchor: the anchor rows as tokens.
        parameters: of the model.
        itemsize: bytes of one of its numbers.
        layers: its decoder layers.
        hidden: its width.
        vocabulary: the width of its logits.
    """
    order = RowOrder(recipe, len(rows), len(anchor))
    tokens = sum(len(rows[i]) for step in range(order.steps) for i in order.training_rows(step))
    anchored = [step for step in range(order.steps) if recipe.anchor.weight_at(step) > 0] if anchor else []
    anchor_tokens = sum(len(anchor[i]) for step in anchored for i in order.anchor_rows(step))
    sides = [(rows, recipe.batch_size)]
    if anchored:
        sides.append((anchor, max(1, round(recipe.batch_size * recipe.anchor.rows_per_row))))
    # Where several passes fit in one they are one; a GPU's are larger, and its memory is the scarcer.
    in_a_step = -(-(tokens + anchor_tokens) // order.steps)
    joined = min(JOINED_TOKENS["cuda"], in_a_step)
    widest = max(joined, *(size * max(map(len, some)) for some, size in sides))
    depth = layers // 2 if recipe.layer is None else recipe.layer
    above = layers - depth
    kept = 1 + ACTIVATIONS / max(above, 1) if recipe.gradient_checkpointing else ACTIVATIONS
    return Estimate(
        steps=order.steps,
        tokens=tokens,
        anchor_tokens=anchor_tokens,
        weights=parameters * itemsize,
        activations=int(widest * hidden * above * kept * itemsize),
        logits=LOGITS * min(chunk_of(vocabulary, "cuda"), widest) * vocabulary * 4,
        logits_avoided=widest * vocabulary * 4,
    )
