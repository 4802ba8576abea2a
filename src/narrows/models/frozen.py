"""Rows whose frozen part runs once: what lies below the adapter, and the chat model's own final states."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.nn.utils.rnn import pad_sequence

from narrows.chat import Batch, Rendered, collate, length_order
from narrows.models.chat_model import ChatModel
from narrows.models.split import Split

Read = Literal["response", "all"]

BUILD_ROWS = 32
"""Rows of one pass while the cache is built; fixed, so that a resumed run sees the same bits."""


def tokens_read(row: Rendered, read: Read) -> int:
    """How many tokens of a row are predicted; the first never is, for nothing stands before it."""
    return sum(row.response_mask[1:]) if read == "response" else max(0, len(row) - 1)


@dataclass(frozen=True)
class FrozenBatch:
    """Some rows, run up to the adapter.

    States lie where the layer that made them does, all else where input tokens go.

    Attributes:
        hidden: the residual stream entering layer ``depth``, (rows, tokens, hidden).
        attention_mask: (rows, tokens), 0 at padding.
        positions: (rows, tokens), True where the logits are read; there are n of them.
        targets: the tokens that follow the positions, (n,).
        row_of: which row each position belongs to, (n,).
        reference: the chat model's final hidden states at the positions, (n, hidden), or None.
    """

    hidden: Tensor
    attention_mask: Tensor
    positions: Tensor
    targets: Tensor
    row_of: Tensor
    reference: Tensor | None


class FrozenRows:
    """Rendered rows behind the frozen layers of a chat model.

    Args:
        chat_model: the model.
        depth: decoder layers below the adapter.
        rows: the rows.
        read: which tokens are predicted: those of the response, or all.
        reference: also keep the chat model's final states, for a KL against it.
        cache_bytes: the states of all rows are kept if they fit into this; else they are computed at each
            use.

    Attributes:
        rows: the rows.
        split: the model cut at ``depth``.
    """

    def __init__(
        self,
        chat_model: ChatModel,
        depth: int,
        rows: Sequence[Rendered],
        *,
        read: Read,
        reference: bool = False,
        cache_bytes: int = 2**30,
    ) -> None:
        self.rows = list(rows)
        self.split = Split(chat_model.model, depth)
        self._chat_model = chat_model
        self._read: Read = read
        self._with_reference = reference
        self._counts = [tokens_read(row, read) for row in self.rows]
        states = sum(map(len, self.rows)) + (sum(self._counts) if reference else 0)
        needed = states * chat_model.hidden * chat_model.model.dtype.itemsize
        self._cache = self._build() if needed <= cache_bytes else None

    def __len__(self) -> int:
        return len(self.rows)

    def tokens(self, indices: Sequence[int]) -> int:
        """How many positions are read in these rows."""
        return sum(self._counts[i] for i in indices)

    def batch(self, indices: Sequence[int]) -> FrozenBatch:
        """The rows at ``indices``, padded on the right.

        Raises:
            DataError: there are none.
        """
        batch, positions = self._collate(indices)
        if self._cache is None:
            hidden, final = self._run(batch, positions)
        else:
            hidden = pad_sequence([self._cache[i][0] for i in indices], batch_first=True)
            final = torch.cat([self._cache[i][1] for i in indices])
        return FrozenBatch(
            hidden=hidden,
            attention_mask=batch.attention_mask,
            positions=positions,
            targets=pad(batch.input_ids[:, 1:], (0, 1))[positions],
            row_of=positions.nonzero()[:, 0],
            reference=final if self._with_reference else None,
        )

    def _collate(self, indices: Sequence[int]) -> tuple[Batch, Tensor]:
        """The rows as tokens, and where they are read, (rows, tokens); the last place predicts nothing."""
        batch = collate([self.rows[i] for i in indices], self._chat_model.pad_id).to(self._chat_model.device)
        return batch, pad(batch.target_positions(self._read), (0, 1))

    @torch.no_grad()
    def _run(self, batch: Batch, positions: Tensor) -> tuple[Tensor, Tensor]:
        """States entering the adapter, (rows, tokens, hidden), and final ones read, (n or 0, hidden)."""
        hidden = self.split.prefix(batch.input_ids, batch.attention_mask)
        if not self._with_reference:
            return hidden, hidden[:0, 0]
        return hidden, self.split.suffix(hidden, batch.attention_mask, positions)

    def _build(self) -> list[tuple[Tensor, Tensor]]:
        """What :meth:`_run` gives for each row alone; rows of like length share a pass."""
        cache: dict[int, tuple[Tensor, Tensor]] = {}
        order = length_order(self.rows)
        for start in range(0, len(order), BUILD_ROWS):
            places = order[start : start + BUILD_ROWS]
            hidden, final = self._run(*self._collate(places))
            counts = [self._counts[place] if self._with_reference else 0 for place in places]
            for row, (place, kept) in enumerate(zip(places, torch.split(final, counts), strict=True)):
                # Cloned, or each row would keep the whole padded pass alive.
                cache[place] = (hidden[row, : len(self.rows[place])].clone(), kept.clone())
        return [cache[place] for place in range(len(self.rows))]
