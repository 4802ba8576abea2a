"""Losses of the same rows under many variants of an adapter: the frozen part once, the variants in one batch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from narrows.adapters import SteeringVector
from narrows.models import ChatModel, FrozenBatch, FrozenRows, Head, token_kl, token_nll
from narrows.progress import bar

Floats = NDArray[np.float64]

PASS_ROWS = 256
"""Rows of one forward pass, all variants counted."""


@dataclass(frozen=True)
class RowLosses:
    """Sums of token losses.

    Attributes:
        sums: summed loss of each row under each variant, nats, (variants, rows).
        counts: read tokens of each row, (rows,).
    """

    sums: Floats
    counts: Floats

    @property
    def means(self) -> Floats:
        """The token mean of each variant, (variants,): every token counts the same, whatever its row."""
        return self.sums.sum(axis=1) / self.counts.sum()

    def of_rows(self, places: Sequence[int]) -> "RowLosses":
        """The losses of some of the rows."""
        return RowLosses(self.sums[:, places], self.counts[list(places)])

    @property
    def contributions(self) -> Floats:
        """What each row adds to the token mean, (variants, rows): values whose plain mean is :attr:`means` and whose
        spread is that of the ratio estimator, L + (s_i − L·c_i)/c̄."""
        means = self.means[:, None]
        return means + (self.sums - means * self.counts) / self.counts.mean()


def nll_of_rows(chat_model: ChatModel, rows: FrozenRows, variants: Sequence[SteeringVector]) -> RowLosses:
    """NLL of the read tokens of each row under each variant; all variants sit at the rows' depth."""

    def loss(head: Head, final: Tensor, batch: FrozenBatch, repeats: int) -> Tensor:
        return token_nll(head, final, batch.targets.repeat(repeats))

    return _over_variants(chat_model, rows, variants, loss, "losses of rows")


def kl_of_rows(chat_model: ChatModel, rows: FrozenRows, variants: Sequence[SteeringVector]) -> RowLosses:
    """KL(P_chat ‖ P_variant) of each row under each variant; the rows hold the chat model's states."""

    def loss(head: Head, final: Tensor, batch: FrozenBatch, repeats: int) -> Tensor:
        assert batch.reference is not None  # noqa: S101  (the callers below make the rows with it)
        return token_kl(head, batch.reference.repeat(repeats, 1), final)

    return _over_variants(chat_model, rows, variants, loss, "KL of texts")


@torch.no_grad()
def _over_variants(
    chat_model: ChatModel,
    rows: FrozenRows,
    variants: Sequence[SteeringVector],
    loss: Callable[[Head, Tensor, FrozenBatch, int], Tensor],
    description: str,
) -> RowLosses:
    head = Head(chat_model.model)
    sums = np.zeros((len(variants), len(rows)))
    counts = np.array([rows.tokens([i]) for i in range(len(rows))], dtype=float)
    order = sorted(range(len(rows)), key=lambda i: len(rows.rows[i]))
    row_block = min(64, len(rows))
    variant_block = max(1, PASS_ROWS // row_block)
    with bar(description, len(variants)) as shown:
        batches = [order[i : i + row_block] for i in range(0, len(order), row_block)]
        frozen = [rows.batch(places) for places in batches] if len(batches) <= 4 else None
        for first in range(0, len(variants), variant_block):
            group = variants[first : first + variant_block]
            for number, places in enumerate(batches):
                batch = frozen[number] if frozen else rows.batch(places)
                entering = torch.cat([variant.enter(batch.hidden) for variant in group])
                final = rows.split.suffix(entering, batch.attention_mask.repeat(len(group), 1))
                read = final[batch.positions.repeat(len(group), 1)]
                losses = loss(head, read, batch, len(group)).double().view(len(group), -1)
                per_row = torch.zeros(len(group), len(places), dtype=torch.float64, device=losses.device)
                per_row.index_add_(1, batch.row_of, losses)
                sums[first : first + len(group), places] = per_row.cpu().numpy()
            shown.advance(len(group))
    return RowLosses(sums, counts)
