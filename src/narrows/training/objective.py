"""The two loss terms (paper §3): NLL of the response tokens, and KL(chat ‖ adapted) on the anchor's."""

from torch import Tensor

from narrows.adapters import Adapter
from narrows.errors import ConfigError
from narrows.models import FrozenBatch, Head, Split, token_kl, token_nll


def response_nll(split: Split, head: Head, adapter: Adapter, batch: FrozenBatch) -> Tensor:
    """NLL of each read token under the adapted model: (n,), fp32, nats; differentiable in the adapter."""
    return token_nll(head, _final_states(split, adapter, batch), batch.targets)


def anchor_kl(split: Split, head: Head, adapter: Adapter, batch: FrozenBatch) -> Tensor:
    """KL(P_chat ‖ P_adapted) at each read position: (n,), fp32, nats; differentiable in the adapter.

    Raises:
        ConfigError: the batch was made without the chat model's states.
    """
    if batch.reference is None:
        raise ConfigError(
            "the anchor needs rows with the chat model's states: FrozenRows(…, reference=True)."
        )
    return token_kl(head, batch.reference, _final_states(split, adapter, batch))


def _final_states(split: Split, adapter: Adapter, batch: FrozenBatch) -> Tensor:
    """The adapted model's final hidden states at the read positions, (n, hidden).

    The caller stands inside ``adapter.within(split)``, with the backward pass too: layers that are
    recomputed there must still be adapted.
    """
    return split.suffix(adapter.enter(batch.hidden), batch.layout, batch.positions)
