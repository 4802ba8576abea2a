"""Rows of tokens as padded tensors; masks come from lengths, never from token ids, so any token may pad."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from narrows.chat.render import Rendered
from narrows.errors import DataError


@dataclass(frozen=True)
class Batch:
    """Some rows of tokens, all (rows, tokens).

    Attributes:
        input_ids: the tokens, padded (int64).
        attention_mask: 1 at tokens, 0 at padding (int64).
        response_mask: True at response tokens (bool).
    """

    input_ids: Tensor
    attention_mask: Tensor
    response_mask: Tensor

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return int(self.input_ids.shape[0])

    def __len__(self) -> int:
        return self.rows

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on ``device``."""
        return Batch(self.input_ids.to(device), self.attention_mask.to(device), self.response_mask.to(device))

    def target_positions(self, which: Literal["response", "all"]) -> Tensor:
        """Where the next token is one to be read: (rows, tokens − 1), bool.

        Position t predicts token t + 1, so with logits (rows, tokens, vocabulary) the pairs are
        ``logits[:, :-1][positions]`` and ``input_ids[:, 1:][positions]``.

        Args:
            which: ``response``: token t + 1 is of the response; ``all``: token t + 1 is not padding. In both,
                token t is not padding either (padding on the left stands before the first token and predicts
                nothing).
        """
        real = self.attention_mask.bool()
        targets = self.response_mask if which == "response" else real
        return targets[:, 1:] & real[:, 1:] & real[:, :-1]


def collate(rows: Sequence[Rendered], pad_id: int, side: Literal["right", "left"] = "right") -> Batch:
    """Pad rows to the longest.

    Args:
        rows: at least one.
        pad_id: the token to fill with; any will do.
        side: where the padding goes; ``left`` for generation.

    Raises:
        DataError: there are no rows.
    """
    if not rows:
        raise DataError("a batch needs at least one row, and none was given.")
    shape = (len(rows), max(len(row) for row in rows))
    input_ids = torch.full(shape, pad_id, dtype=torch.long)
    attention_mask = torch.zeros(shape, dtype=torch.long)
    response_mask = torch.zeros(shape, dtype=torch.bool)
    for place, row in enumerate(rows):
        filled = slice(0, len(row)) if side == "right" else slice(shape[1] - len(row), None)
        input_ids[place, filled] = torch.tensor(row.input_ids, dtype=torch.long)
        attention_mask[place, filled] = 1
        response_mask[place, filled] = torch.tensor(row.response_mask, dtype=torch.bool)
    return Batch(input_ids, attention_mask, response_mask)


def length_order(rows: Sequence[Rendered]) -> list[int]:
    """The places of the rows from shortest to longest; equal lengths keep their order."""
    return sorted(range(len(rows)), key=lambda place: len(rows[place]))


def batches(
    rows: Sequence[Rendered], size: int, pad_id: int, sort_by_length: bool = False
) -> Iterator[Batch]:
    """Cut rows into right-padded batches of at most ``size`` rows.

    Args:
        rows: the rows.
        size: rows in a batch; the last batch may have fewer.
        pad_id: the token to fill with.
        sort_by_length: batch rows of like length together, which saves padding; the rows then come in the
            order that :func:`length_order` gives.
    """
    order = length_order(rows) if sort_by_length else list(range(len(rows)))
    for start in range(0, len(order), size):
        yield collate([rows[place] for place in order[start : start + size]], pad_id)
