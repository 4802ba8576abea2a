"""Rows laid end to end instead of padded: the layers see tokens only, and attention keeps to the rows."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, replace
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

SHORT = 128
"""Tokens up to which rows are padded for their attention and go through it together.

Over so few tokens attention costs little beside the layers' matrix products, and a call of it for each row
costs more. Longer rows go through it one by one.
"""


@dataclass(frozen=True)
class _Pieces:
    """How attention goes over packed rows.

    Attributes:
        padded: the tokens of the short rows, each row's last one repeated up to the longest,
            (short rows · longest,); None where there are fewer than two short rows.
        width: tokens of a padded row.
        alone: begin and end of each row that goes alone.
        back: where each token lies in all pieces one after another, (tokens,); None where it lies there
            already.
    """

    padded: Tensor | None
    width: int
    alone: tuple[tuple[int, int], ...]
    back: Tensor | None

    def to(self, device: torch.device) -> "_Pieces":
        """The same on a device."""
        if self.padded is None or self.back is None:
            return self
        return replace(self, padded=self.padded.to(device), back=self.back.to(device))


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

    def pieces(self, device: torch.device) -> _Pieces:
        """How attention goes over the rows, for tensors on a device."""
        if device not in self._pieces:
            self._pieces[device] = self._cut().to(device)
        return self._pieces[device]

    @cached_property
    def _pieces(self) -> dict[torch.device, _Pieces]:
        return {}

    def _cut(self) -> _Pieces:
        ends = torch.tensor(self.lengths).cumsum(0).tolist()
        rows = [(end - length, end) for length, end in zip(self.lengths, ends, strict=True)]
        short = [row for row in rows if row[1] - row[0] <= SHORT]
        if len(short) < 2:
            return _Pieces(None, 0, tuple(rows), None)
        width = max(end - begin for begin, end in short)
        begins, lasts = torch.tensor(short).T
        padded = torch.minimum(begins[:, None] + torch.arange(width), lasts[:, None] - 1).flatten()
        alone = tuple(row for row in rows if row not in short)
        back = torch.empty(ends[-1], dtype=torch.long)
        for place, (begin, end) in enumerate(short):
            back[begin:end] = place * width + torch.arange(end - begin)
        after = len(padded)
        for begin, end in alone:
            back[begin:end] = after + torch.arange(end - begin)
            after += end - begin
        return _Pieces(padded, width, alone, back)


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


def _within_rows(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **settings: Any,  # noqa: ANN401
) -> tuple[Tensor, None]:
    """Causal attention within each row: (·, heads, tokens, width) to (·, tokens, heads, width)."""
    pieces = _now.get()[0].pieces(query.device)
    states = (query, key, value)
    found = []
    if pieces.padded is not None:
        # What is padded stands behind its row, where causal attention does not look; it is dropped after.
        rows = [_as_rows(one.index_select(2, pieces.padded), pieces.width) for one in states]
        out = sdpa_attention_forward(module, *rows, None, **settings)[0]
        found.append(out.reshape(len(query), -1, *out.shape[2:]))
    for begin, end in pieces.alone:
        row = [one[:, :, begin:end] for one in states]
        found.append(sdpa_attention_forward(module, *row, None, **settings)[0])
    whole = torch.cat(found, dim=1) if len(found) > 1 else found[0]
    return (whole if pieces.back is None else whole.index_select(1, pieces.back)), None


def _as_rows(states: Tensor, width: int) -> Tensor:
    """States of (·, heads, rows · width, size) as (· · rows, heads, width, size)."""
    variants, heads, _, size = states.shape
    return states.view(variants, heads, -1, width, size).transpose(1, 2).reshape(-1, heads, width, size)


AttentionInterface.register(ATTENTION, _within_rows)
