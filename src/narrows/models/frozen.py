"""Rows whose frozen part runs once: what lies below the adapter, and the chat model's own final states."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import transformers
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from narrows.chat import Rendered, length_order
from narrows.errors import DataError
from narrows.files import digest
from narrows.models.chat_model import ChatModel
from narrows.models.packing import Layout, Packed, can_pack
from narrows.models.split import Split
from narrows.models.states import States, StoredStates, state_folder

Read = Literal["response", "all"]

BUILD_ROWS = 32
"""Rows of one pass while the cache is built; fixed, so that a resumed run sees the same bits."""


def tokens_read(row: Rendered, read: Read) -> int:
    """How many tokens of a row are predicted; the first never is, for nothing stands before it."""
    return sum(row.response_mask[1:]) if read == "response" else max(0, len(row) - 1)


def tokens_used(row: Rendered, read: Read) -> int:
    """Tokens of a row up to the last whose prediction is read: what follows changes nothing before it."""
    used = len(row) - 1
    if read == "response" and any(row.response_mask[1:]):
        used -= row.response_mask[::-1].index(True)
    return max(used, 1)


@dataclass(frozen=True)
class FrozenBatch:
    """Some rows, run up to the adapter, as far as they matter: to the last token whose prediction is read.

    States lie where the layer that made them does, all else where input tokens go. Packed rows are one row of
    all their tokens.

    Attributes:
        hidden: the residual stream entering layer ``depth``, (rows, tokens, hidden).
        layout: how the rows lie in it.
        positions: (rows, tokens), True where the logits are read; there are n of them.
        targets: the tokens that follow the positions, (n,).
        row_of: which of the rows each position belongs to, (n,).
        reference: the chat model's final hidden states at the positions, (n, hidden), or None.
    """

    hidden: Tensor
    layout: Layout
    positions: Tensor
    targets: Tensor
    row_of: Tensor
    reference: Tensor | None


@dataclass(frozen=True)
class _Tokens:
    """Some rows before any layer; as in :class:`FrozenBatch`."""

    input_ids: Tensor
    layout: Layout
    positions: Tensor
    targets: Tensor
    row_of: Tensor


class FrozenRows:
    """Rendered rows behind the frozen layers of a chat model.

    Args:
        chat_model: the model.
        depth: decoder layers below the adapter.
        rows: the rows.
        read: which tokens are predicted: those of the response, or all.
        reference: also keep the chat model's final states, for a KL against it.
        pack: lay the rows of a batch end to end where the model can (:func:`narrows.models.can_pack`); else
            they are padded.
        stored: keep the states on disk, where that is asked for (:func:`narrows.models.keep_states`). Not
            for what the model's weights and the rows do not determine: with an adapter attached, say.
        cache_bytes: states that are not on disk are kept in memory if they fit into this; else they are
            computed at each use.


    Attributes:
        rows: the rows.
        split: the model cut at ``depth``.
        lengths: tokens of each row that matter.
        packed: whether batches are packed.
    """

    def __init__(
        self,
        chat_model: ChatModel,
        depth: int,
        rows: Sequence[Rendered],
        *,
        read: Read,
        reference: bool = False,
        pack: bool = True,
        stored: bool = True,
        cache_bytes: int = 2**30,
    ) -> None:
        self.rows = list(rows)
        self.split = Split(chat_model.model, depth)
        self.lengths = [tokens_used(row, read) for row in self.rows]
        self.packed = pack and can_pack(chat_model.model, max(self.lengths, default=0))
        self._chat_model = chat_model
        self._read: Read = read
        self._with_reference = reference
        self._counts = [tokens_read(row, read) for row in self.rows]
        states = sum(self.lengths) + (sum(self._counts) if reference else 0)
        needed = states * chat_model.hidden * chat_model.model.dtype.itemsize
        self._cache: Sequence[States] | StoredStates | None = None
        if stored and (folder := state_folder()) is not None:
            self._cache = folder.get(self._key(), needed, self._computed)
        if self._cache is None and needed <= cache_bytes:
            computed = dict(self._computed())
            self._cache = [computed[place] for place in range(len(self.rows))]

    def __len__(self) -> int:
        return len(self.rows)

    def tokens(self, indices: Sequence[int]) -> int:
        """How many positions are read in these rows."""
        return sum(self._counts[i] for i in indices)

    def batch(self, indices: Sequence[int], *, padded: bool = False) -> FrozenBatch:
        """The rows at ``indices``: packed, or padded on the right.

        Args:
            indices: at least one.
            padded: padded even so.

        Raises:
            DataError: there are none.
        """
        tokens = self._tokens(indices, packed=self.packed and not padded)
        if self._cache is None:
            hidden, final = self._run(tokens)
        else:
            states, finals = zip(*(self._cache[i] for i in indices), strict=True)
            packed = isinstance(tokens.layout, Packed)
            hidden = torch.cat(states)[None] if packed else pad_sequence(list(states), batch_first=True)
            final = torch.cat(finals)
            if isinstance(self._cache, StoredStates):
                hidden, final = hidden.to(self.split.entering_device), final.to(self.split.final_device)
        return FrozenBatch(
            hidden=hidden,
            layout=tokens.layout,
            positions=tokens.positions,
            targets=tokens.targets,
            row_of=tokens.row_of,
            reference=final if self._with_reference else None,
        )

    def _tokens(self, indices: Sequence[int], *, packed: bool) -> _Tokens:
        """The rows as tokens; the last of each was cut off if it is only predicted."""
        ids, read, targets = [], [], []
        for i in indices:
            row, length = self.rows[i], self.lengths[i]
            following = (row.response_mask if self._read == "response" else [True] * len(row))[1 : length + 1]
            ids.append(torch.tensor(row.input_ids[:length]))
            read.append(torch.tensor(following + [False] * (length - len(following)), dtype=torch.bool))
            targets += [row.input_ids[place + 1] for place, one in enumerate(following) if one]
        if not ids:
            raise DataError("a batch needs at least one row, and none was given.")
        lengths = tuple(self.lengths[i] for i in indices)
        layout: Layout
        if packed:
            input_ids, positions, layout = torch.cat(ids)[None], torch.cat(read)[None], Packed(lengths)
            row_of = layout.row_of[positions]
        else:
            input_ids = pad_sequence(ids, batch_first=True, padding_value=self._chat_model.pad_id)
            positions = pad_sequence(read, batch_first=True)
            layout = (torch.arange(input_ids.shape[1]) < torch.tensor(lengths)[:, None]).long()
            row_of = positions.nonzero()[:, 0]
        device = self._chat_model.device
        return _Tokens(
            input_ids=input_ids.to(device),
            layout=layout if isinstance(layout, Packed) else layout.to(device),
            positions=positions.to(device),
            targets=torch.tensor(targets, dtype=torch.long).to(device),
            row_of=row_of.to(device),
        )

    @torch.no_grad()
    def _run(self, tokens: _Tokens) -> tuple[Tensor, Tensor]:
        """States entering the adapter, (rows, tokens, hidden), and final ones read, (n or 0, hidden)."""
        hidden = self.split.prefix(tokens.input_ids, tokens.layout)
        if not self._with_reference:
            return hidden, hidden[:0, 0]
        return hidden, self.split.suffix(hidden, tokens.layout, tokens.positions)

    def _computed(self) -> Iterator[tuple[int, States]]:
        """What :meth:`_run` gives for each row alone, with its place; rows of like length share a pass."""
        order = length_order(self.rows)
        for start in range(0, len(order), BUILD_ROWS):
            places = order[start : start + BUILD_ROWS]
            lengths = [self.lengths[place] for place in places]
            hidden, final = self._run(self._tokens(places, packed=self.packed))
            states = (
                torch.split(hidden[0], lengths)
                if self.packed
                else [row[:length] for row, length in zip(hidden, lengths, strict=True)]
            )
            counts = [self._counts[place] if self._with_reference else 0 for place in places]
            for place, state, kept in zip(places, states, torch.split(final, counts), strict=True):
                # Cloned, or each row would keep the whole pass alive.
                yield place, (state.clone(), kept.clone())

    def _key(self) -> str:
        """Stands for all that the states depend on, down to their rounding."""
        chat_model = self._chat_model
        facts = {
            "model": chat_model.id,
            "dtype": str(chat_model.model.dtype),
            "depth": self.split.depth,
            "read": self._read,
            "reference": self._with_reference,
            "passes": [BUILD_ROWS, self.packed],
            "machine": [
                chat_model.device.type,
                torch.get_num_threads(),
                torch.__version__,
                transformers.__version__,
            ],
            "rows": [[row.input_ids, [int(one) for one in row.response_mask]] for row in self.rows],
        }
        return digest(facts)
