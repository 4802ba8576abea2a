"""Rows laid end to end instead of padded: the layers see tokens only, and attention goes row by row."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

ATTENTION = "narrows-packed"
"""What transformers knows the attention over packed rows by. It has no mask: none is made for it."""

_PLAIN_LAYERS = {"full_attention", "sliding_attention"}


@dataclass(frozen=True)
class Packed:
    """Rows that lie end to end in one.

    Attributes:
        lengths: tokens of each.
    """

    lengths: tuple[int, ...]

    @cached_property
    def position_ids(self) -> Tensor:
        """Where each token stands in its own row, (1, tokens), int64."""
        return torch.cat([torch.arange(length) for length in self.lengths])[None]

    @cached_property
    def row_of(self) -> Tensor:
        """Which row each token belongs to, (1, tokens), int64."""
        return torch.arange(len(self.lengths)).repeat_interleave(torch.tensor(self.lengths))[None]


Layout: TypeAlias = Tensor | Packed
"""How rows lie in a tensor: padded, told by an attention mask (rows, tokens) with 0 at padding; or packed."""


def repeated(layout: Layout, times: int) -> Layout:
    """The layout of rows stacked some times over: packed rows are then so many rows of the same lengths."""
    return layout if isinstance(layout, Packed) else layout.repeat(times, 1)


def can_pack(model: "PreTrainedModel", longest: int) -> bool:
    """Whether rows of a model can be packed, and give what they give padded.

    Its attention must be transformers' exchangeable one, computed by torch's scaled dot product, over all
    that stands before a token: layers with a sliding window do where no row is longer than that, layers of
    other kinds (recurrent ones, say) and soft-capped attention do not.

    Args:
        model: the model.
        longest: tokens of the longest row.
    """
    config = model.config.get_text_config()
    window = getattr(config, "sliding_window", None)
    return (
        bool(getattr(model, "_supports_attention_backend", False))
        and config._attn_implementation == "sdpa"
        and not getattr(config, "attn_logit_softcapping", None)
        and set(getattr(config, "layer_types", None) or ()) <= _PLAIN_LAYERS
        and (window is None or longest <= window)
    )


@contextmanager
def attending(packed: Packed, configs: "Sequence[PreTrainedConfig]") -> Iterator[None]:
    """Let the attention of the modules with these configs keep to the rows, in forward passes within."""
    kept = [config._attn_implementation for config in configs]
    token = _now.set((packed, configs))
    try:
        for config in configs:
            config._attn_implementation = ATTENTION
        yield
    finally:
        for config, implementation in zip(configs, kept, strict=True):
            config._attn_implementation = implementation
        _now.reset(token)


def attending_again() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """What a layer runs in now, and what it is to run in again: a ``context_fn`` of torch's checkpoint."""
    now = _now.get(None)
    return nullcontext(), nullcontext() if now is None else attending(*now)


_now: "ContextVar[tuple[Packed, Sequence[PreTrainedConfig]]]" = ContextVar("packed rows under way")


def _row_by_row(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **settings: Any,  # noqa: ANN401
) -> tuple[Tensor, None]:
    """Causal attention within each row: (·, heads, tokens, width) to (·, tokens, heads, width)."""
    lengths = _now.get()[0].lengths
    pieces = zip(*(one.split(lengths, dim=2) for one in (query, key, value)), strict=True)
    found = [sdpa_attention_forward(module, q, k, v, None, **settings)[0] for q, k, v in pieces]
    return torch.cat(found, dim=1), None


AttentionInterface.register(ATTENTION, _row_by_row)
