"""The two loss terms (paper §3): NLL of the response tokens, and KL(chat ‖ adapted) on the anchor's."""

from collections.abc import Sequence

import torch
from torch import Tensor

from narrows.adapters import Adapter
from narrows.errors import ConfigError
from narrows.models import FrozenBatch, Head, Packed, Split, token_kl, token_nll


def final_states(split: Split, adapter: Adapter, batches: Sequence[FrozenBatch]) -> list[Tensor]:
    """The adapted model's final hidden states at the read positions of some batches, from one pass.

    The caller stands inside ``adapter.within(split)``, with the backward pass too: layers that are
    recomputed there must still be adapted.

    Args:
        split: the model cut at the adapter's depth.
        adapter: the adapter.
        batches: one in any layout, or several that are packed.

    Returns:
        (n, hidden) for each, differentiable in the adapter.
    """
    if len(batches) == 1:
        (batch,) = batches
        return [split.suffix(adapter.enter(batch.hidden), batch.layout, batch.positions)]
    lengths = tuple(length for batch in batches for length in _packed(batch).lengths)
    hidden = torch.cat([batch.hidden for batch in batches], dim=1)
    positions = torch.cat([batch.positions for batch in batches], dim=1)
    final = split.suffix(adapter.enter(hidden), Packed(lengths), positions)
    return list(torch.split(final, [len(batch.targets) for batch in batches]))


def _packed(batch: FrozenBatch) -> Packed:
    assert isinstance(batch.layout, Packed)  # noqa: S101
    return batch.layout


def response_nll(head: Head, final: Tensor, batch: FrozenBatch) -> Tensor:
    """NLL of each read token under the adapted model.

    Args:
        head: the LM head.
        final: what :func:`final_states` gives for the batch.
        batch: the rows.

    Returns:
        (n,), fp32, nats; differentiable in the final states.
    """
    return token_nll(head, final, batch.targets)


def anchor_kl(head: Head, final: Tensor, batch: FrozenBatch) -> Tensor:
    """KL(P_chat ‖ P_adapted) at each read position; arguments and result as of :func:`response_nll`.

    Raises:
        ConfigError: the batch was made without the chat model's states.
    """
    if batch.reference is None:
        raise ConfigError(
            "the anchor needs rows with the chat model's states: FrozenRows(…, reference=True)."
        )
    return token_kl(head, batch.reference, final)
