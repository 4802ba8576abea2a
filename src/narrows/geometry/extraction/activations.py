"""What the residual stream holds at every decoder layer while a model reads rows: one mean for each row."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import Tensor

from narrows.chat import Batch, Rendered, collate, length_order
from narrows.errors import ConfigError, DataError, ModelError
from narrows.models import ChatModel, decoder_layers, inner_model
from narrows.models.hooks import reads_output
from narrows.progress import bar

if TYPE_CHECKING:
    from narrows.adapters import Adapter

Positions = Literal["answer", "prompt", "last"]
"""Which tokens of a row count: its answer's, those before the answer, or the last one before the answer."""

POSITIONS: tuple[Positions, ...] = get_args(Positions)
"""All of :data:`Positions`."""


def row_means(
    chat_model: ChatModel,
    rows: Sequence[Rendered],
    positions: Positions = "answer",
    adapter: "Adapter | None" = None,
    batch_size: int = 16,
) -> Tensor:
    """The mean of the residual stream over some tokens of each row, at the output of every decoder layer.

    All layers are read in one forward pass. Means are taken in fp32 (fp64 for a model in fp64), and padding
    takes no part. Interventions that are attached around the call act, and what they leave is read.

    Args:
        chat_model: the model.
        rows: what it reads.
        positions: ``answer``: the response tokens; ``prompt``: the tokens before them; ``last``: the last of
            these, where the answer is about to begin. A row without a response is all prompt.
        adapter: attached while reading; None reads with the chat model itself.
        batch_size: rows read at once, at most: halved for the rest of the call when the device runs out of
            memory.

    Returns:
        (rows, layers, hidden), fp32 on the CPU, in the order of the rows.

    Raises:
        ConfigError: unknown positions, or ``batch_size`` is below 1.
        DataError: there are no rows, or one has no token at these positions; names it.
        ModelError: the stream is not finite at a row; names it and the layer.
        AdapterError: the adapter does not fit the model.
    """
    return row_means_at(chat_model, rows, [positions], adapter, batch_size)[positions]


def row_means_at(
    chat_model: ChatModel,
    rows: Sequence[Rendered],
    positions: Sequence[Positions] = POSITIONS,
    adapter: "Adapter | None" = None,
    batch_size: int = 16,
) -> dict[Positions, Tensor]:
    """:func:`row_means` at several positions, all from the same forward passes.

    Returns:
        (rows, layers, hidden) by position, fp32 on the CPU.

    Raises:
        As :func:`row_means`.
    """
    wanted = tuple(dict.fromkeys(positions))
    if not wanted or any(one not in POSITIONS for one in wanted):
        raise ConfigError(
            f"positions is {', '.join(wanted)!r}; choose one or more of {', '.join(POSITIONS)}."
        )
    if batch_size < 1:
        raise ConfigError(f"batch_size is {batch_size}; it must be at least 1.")
    if not rows:
        raise DataError("activations need at least one row, and none was given.")
    for number, row in enumerate(rows, start=1):
        for one in wanted:
            if not any(_chosen(row, one)):
                missing, instead = ("answer", "prompt or last") if one == "answer" else ("prompt", "answer")
                raise DataError(
                    f"{row.source or f'row {number}'} has no token at the positions {one!r}: it has no "
                    f"{missing}. Read {instead} (--at)."
                )
    means = torch.empty(len(wanted), len(rows), chat_model.layers, chat_model.hidden)
    attached = nullcontext() if adapter is None else adapter.placed(chat_model.model).attach(chat_model.model)
    with attached, bar("activations", total=len(rows)) as shown:
        for places, found in _read(chat_model, rows, wanted, batch_size):
            means[:, places] = found
            shown.advance(len(places))
    for some in means:
        _check_finite(some, rows)
    return dict(zip(wanted, means, strict=True))


def _read(
    chat_model: ChatModel, rows: Sequence[Rendered], positions: Sequence[Positions], size: int
) -> Iterator[tuple[list[int], Tensor]]:
    """Rows of like length together: their places, and their means (positions, rows, layers, hidden)."""
    rest = length_order(rows)
    while rest:
        places = rest[:size]
        some = [rows[place] for place in places]
        try:
            masks = torch.stack([_mask(some, one) for one in positions])
            found = _means(chat_model, collate(some, chat_model.pad_id), masks)
        except torch.OutOfMemoryError:
            if len(some) == 1:
                raise
            size = len(some) // 2
            continue
        yield places, found
        rest = rest[len(places) :]


@torch.no_grad()
def _means(chat_model: ChatModel, batch: Batch, masks: Tensor) -> Tensor:
    """The means of one batch over the tokens of each mask, (positions, rows, tokens), in fp32.

    Returns:
        (positions, rows, layers, hidden), on the CPU.
    """
    layers = decoder_layers(chat_model.model)
    found: list[Tensor | None] = [None] * len(layers)

    def read(stream: Tensor, layer: int) -> None:
        exact = stream.to(torch.promote_types(stream.dtype, torch.float32))
        found[layer] = torch.stack([_mean(exact, mask) for mask in masks.to(stream.device)]).cpu()

    with ExitStack() as stack:
        for layer, module in enumerate(layers):
            stack.callback(module.register_forward_hook(reads_output(partial(read, layer=layer))).remove)
        there = batch.to(chat_model.device)
        # The head is left out: nobody reads the logits.
        inner_model(chat_model.model)(
            input_ids=there.input_ids, attention_mask=there.attention_mask, use_cache=False
        )
    return torch.stack([one for one in found if one is not None], dim=2)


def _mean(stream: Tensor, mask: Tensor) -> Tensor:
    """The mean over each row's tokens in the mask: (rows, tokens, hidden) to (rows, hidden), fp32."""
    total = stream.masked_fill(~mask[:, :, None], 0).sum(dim=1)
    return (total / mask.sum(dim=1, keepdim=True)).float()


def _mask(rows: Sequence[Rendered], positions: Positions) -> Tensor:
    """Where the rows of a right-padded batch are read, (rows, tokens), bool."""
    mask = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.bool)
    for place, row in enumerate(rows):
        mask[place, : len(row)] = torch.tensor(_chosen(row, positions))
    return mask


def _chosen(row: Rendered, positions: Positions) -> list[bool]:
    """Which tokens of a row count."""
    if positions == "answer":
        return row.response_mask
    end = row.response_mask.index(True) if any(row.response_mask) else len(row)
    start = 0 if positions == "prompt" else end - 1
    return [start <= place < end for place in range(len(row))]


def _check_finite(means: Tensor, rows: Sequence[Rendered]) -> None:
    broken = (~means.isfinite().all(dim=2)).nonzero()
    if len(broken):
        row, layer = map(int, broken[0])
        raise ModelError(
            f"{rows[row].source or f'row {row + 1}'}: the residual stream at layer {layer} is not finite. A "
            "model that was trained in bfloat16 overflows in float16: load it with dtype bfloat16."
        )
