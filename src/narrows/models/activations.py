"""What the residual stream of the chat model looks like at a layer, leaving padding out of every mean."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from narrows.chat import Rendered, batches
from narrows.errors import DataError
from narrows.models.chat_model import ChatModel
from narrows.models.layers import check_layer
from narrows.models.split import Split


def mean_residual_norm(
    chat_model: ChatModel, layer: int, rows: Sequence[Rendered], batch_size: int = 16
) -> float:
    """Mean L2 norm of the residual stream at the output of decoder layer ``layer``, over non-padding tokens.

    Args:
        chat_model: the model.
        layer: 0-indexed decoder layer.
        rows: what to run it on.
        batch_size: rows run at once.

    Raises:
        AdapterError: ``layer`` is out of range.
        DataError: there are no rows.
    """
    total, count = 0.0, 0
    for stream in _streams(chat_model, layer, rows, batch_size):
        total += float(stream.norm(dim=-1).sum())
        count += len(stream)
    return total / count


def residual_covariance(
    chat_model: ChatModel, layer: int, rows: Sequence[Rendered], batch_size: int = 16
) -> Tensor:
    """Covariance of the residual stream at the output of decoder layer ``layer``, over non-padding tokens.

    Args:
        chat_model: the model.
        layer: 0-indexed decoder layer.
        rows: what to run it on; together at least two tokens.
        batch_size: rows run at once.

    Returns:
        (hidden, hidden), fp64, centred, with the n − 1 denominator, on the CPU.

    Raises:
        AdapterError: ``layer`` is out of range.
        DataError: there are no rows, or not two tokens in them.
    """
    count = 0
    mean = torch.zeros(chat_model.hidden, dtype=torch.float64)
    scatter = torch.zeros(chat_model.hidden, chat_model.hidden, dtype=torch.float64)
    for stream in _streams(chat_model, layer, rows, batch_size):
        # Chan et al.'s update: centred sums are merged, so a large mean costs no digits.
        new = len(stream)
        if not new:
            continue
        centre = stream.mean(dim=0)
        shift = centre - mean
        scatter += (stream - centre).T @ (stream - centre) + torch.outer(shift, shift) * (
            count * new / (count + new)
        )
        mean += shift * (new / (count + new))
        count += new
    if count < 2:
        raise DataError(
            f"the rows have {count} tokens together, and a covariance needs two at the very least: give more "
            "text."
        )
    return scatter / (count - 1)


def _streams(chat_model: ChatModel, layer: int, rows: Sequence[Rendered], size: int) -> Iterator[Tensor]:
    """The stream at the non-padding tokens of each batch, (tokens, hidden), fp64 on the CPU."""
    check_layer(chat_model.model, layer)
    if not rows:
        raise DataError("the residual stream can only be measured on at least one row, and none was given.")
    split = Split(chat_model.model, layer + 1)
    for batch in batches(rows, size, chat_model.pad_id, sort_by_length=True):
        on_device = batch.to(chat_model.device)
        hidden = split.prefix(on_device.input_ids, on_device.attention_mask)
        yield hidden[batch.attention_mask.to(hidden.device).bool()].to("cpu", torch.float64)
