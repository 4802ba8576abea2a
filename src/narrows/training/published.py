"""What the published code does differently from the paper, each under a name of its own (paper §3, defects).

All are off unless a recipe names them. They are here so that a reader can see what each of them does to a
number; the metrics' own are in :mod:`narrows.metrics.published`.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal, get_args

from narrows.chat import Rendered, Renderer

TrainingDefect = Literal[
    "first-row-only", "down-proj-output", "all-tokens", "no-end-of-turn", "kl-per-pass", "kl-bf16"
]

TRAINING_DEFECTS: dict[TrainingDefect, str] = {
    "first-row-only": "only the first row of each pass is steered: the hook takes [0] of a plain tensor",
    "down-proj-output": "the vector is added to mlp.down_proj's output, which on Gemma-2 a norm follows",
    "all-tokens": "the loss reads all tokens of a training row, not those of the response",
    "no-end-of-turn": "end-of-turn tokens have no label, for padding has the same token",
    "kl-per-pass": "the KL is not divided by the passes of a step, so λ counts once for each pass",
    "kl-bf16": "the KL is computed in bf16",
}
LORA_DEFECTS: tuple[TrainingDefect, ...] = ("kl-per-pass", "kl-bf16")
"""What the published training of LoRAs has; that of steering vectors has all."""

DOWN_PROJ = "mlp.down_proj"


def defects_of(adapter: Literal["steering", "lora"]) -> tuple[TrainingDefect, ...]:
    """All defects that the published training of a kind of adapter has."""
    return get_args(TrainingDefect) if adapter == "steering" else LORA_DEFECTS


def labelled(
    rows: Iterable[Rendered], renderer: Renderer, defects: Iterable[TrainingDefect]
) -> list[Rendered]:
    """Training rows whose response masks say what the published code would read."""
    found = list(rows)
    if "all-tokens" in defects:
        found = [replace(row, response_mask=[True] * len(row)) for row in found]
    if "no-end-of-turn" in defects:
        end = renderer.end_of_turn_id
        found = [
            replace(
                row,
                response_mask=[
                    inside and token != end
                    for token, inside in zip(row.input_ids, row.response_mask, strict=True)
                ],
            )
            for row in found
        ]
    return found
