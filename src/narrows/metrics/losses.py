"""Losses of the same rows under many variants: the frozen part once, the variants stacked in one batch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from narrows.adapters import Adapter, bank_of
from narrows.chat import length_order
from narrows.errors import AdapterError, ConfigError, DataError
from narrows.models import ChatModel, FrozenBatch, FrozenRows, Head, repeated, token_kl, token_nll
from narrows.progress import bar

Floats = NDArray[np.float64]

BATCH_ROWS = 64
"""Rows that are padded together; rows of like length share a batch."""

PASS_ROWS = 64
"""Rows of one forward pass, all variants counted. More are slower on a CPU: their activations pass 32 MiB,
and the C library then fetches the memory anew each time.
"""

_Loss = Callable[[Head, Tensor, FrozenBatch, int], Tensor]


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
        means: Floats = self.sums.sum(axis=1) / self.counts.sum()
        return means

    @property
    def contributions(self) -> Floats:
        """What each row adds to the token mean L, (variants, rows): L + (sᵢ − L·cᵢ) / c̄.

        Their plain mean is :attr:`means`, and their spread that of the ratio estimator Σs / Σc (linearised),
        so that a band over rows knows that rows of many tokens weigh more.
        """
        means = self.means[:, None]
        contributions: Floats = means + (self.sums - means * self.counts) / self.counts.mean()
        return contributions

    def by_batches(self, size: int) -> "RowLosses":
        """The same rows, weighted so that :attr:`means` is the mean of the means of batches of a size."""
        weights = np.zeros_like(self.counts)
        starts = range(0, len(self.counts), size)
        for start in starts:
            batch = slice(start, start + size)
            weights[batch] = 1 / (len(starts) * self.counts[batch].sum())
        return RowLosses(self.sums * weights, self.counts * weights)

    def of_rows(self, places: Sequence[int]) -> "RowLosses":
        """The losses of some of the rows."""
        chosen = list(places)
        return RowLosses(self.sums[:, chosen], self.counts[chosen])


def nll_of_rows(chat_model: ChatModel, rows: FrozenRows, variants: Sequence[Adapter]) -> RowLosses:
    """Negative log-likelihood of the read tokens of each row under each variant.

    Args:
        chat_model: the model.
        rows: behind the variants' depth.
        variants: of one kind, all at one place.

    Raises:
        AdapterError: a variant sits at another depth than the rows were cut at, or has another width.
        DataError: there are no rows, or no token of them is read.
    """
    return _over_variants(chat_model, rows, variants, [_nll], "losses of rows")[0]


def kl_of_rows(
    chat_model: ChatModel, rows: FrozenRows, variants: Sequence[Adapter], dtype: torch.dtype | None = None
) -> RowLosses:
    """KL(P_chat ‖ P_variant) at the read tokens of each row under each variant.

    Args:
        chat_model: the model.
        rows: behind the variants' depth, with the chat model's own final states.
        variants: of one kind, all at one place.
        dtype: what logits and KL are computed in (default: fp32).

    Raises:
        ConfigError: the rows do not hold the chat model's states.
        AdapterError: a variant sits at another depth than the rows were cut at, or has another width.
        DataError: there are no rows, or no token of them is read.
    """
    return _over_variants(chat_model, rows, variants, [_kl], "KL of texts", dtype=dtype)[0]


def kl_and_nll_of_rows(
    chat_model: ChatModel, rows: FrozenRows, variants: Sequence[Adapter]
) -> tuple[RowLosses, RowLosses]:
    """What :func:`kl_of_rows` and :func:`nll_of_rows` give, from one pass through the layers.

    Args:
        chat_model: the model.
        rows: behind the variants' depth, with the chat model's own final states.
        variants: of one kind, all at one place.

    Raises:
        ConfigError: the rows do not hold the chat model's states.
        AdapterError: a variant sits at another depth than the rows were cut at, or has another width.
        DataError: there are no rows, or no token of them is read.
    """
    kl, nll = _over_variants(chat_model, rows, variants, [_kl, _nll], "KL and loss of texts")
    return kl, nll


def _nll(head: Head, final: Tensor, batch: FrozenBatch, repeats: int) -> Tensor:
    """−log P(target) at the read positions of each variant, (variants · n,)."""
    return token_nll(head, final, batch.targets.repeat(repeats))


def _kl(head: Head, final: Tensor, batch: FrozenBatch, repeats: int) -> Tensor:
    """KL(P_chat ‖ P_variant) at the read positions of each variant, (variants · n,)."""
    if batch.reference is None:
        raise ConfigError("a KL needs the chat model's states: make the FrozenRows with reference=True.")
    # The variants of a position side by side: the chat model's logits there are computed once for them.
    side_by_side = final.view(repeats, -1, final.shape[-1]).transpose(0, 1).flatten(0, 1)
    of = torch.arange(len(batch.reference), device=final.device).repeat_interleave(repeats)
    found = token_kl(head, batch.reference, side_by_side, of=of)
    return found.view(-1, repeats).T.flatten()


@torch.no_grad()
def _over_variants(
    chat_model: ChatModel,
    rows: FrozenRows,
    variants: Sequence[Adapter],
    losses: Sequence[_Loss],
    description: str,
    *,
    dtype: torch.dtype | None = None,
) -> list[RowLosses]:
    """Each row's summed losses under each variant; the frozen part of a batch runs once for all of them."""
    _check(chat_model, rows, variants)
    variants = [variant.placed(chat_model.model) for variant in variants]
    head = Head(chat_model.model, dtype)
    sums = np.zeros((len(losses), len(variants), len(rows)))
    order = length_order(rows.rows)
    with bar(description, len(variants) * len(rows)) as shown:
        for start in range(0, len(order), BATCH_ROWS):
            places = order[start : start + BATCH_ROWS]
            batch = rows.batch(places)
            at_once = max(1, PASS_ROWS // len(places))
            for first in range(0, len(variants), at_once):
                group = variants[first : first + at_once]
                together = bank_of(group, [len(batch.hidden)] * len(group))
                with together.within(rows.split):
                    entering = together.enter(batch.hidden.repeat(len(group), 1, 1))
                    layout = repeated(batch.layout, len(group))
                    read = rows.split.suffix(entering, layout, batch.positions.repeat(len(group), 1))
                for kind, loss in enumerate(losses):
                    found = loss(head, read, batch, len(group)).double().view(len(group), -1)
                    row_of = batch.row_of.to(found.device)
                    of_rows = found.new_zeros(len(group), len(places)).index_add_(1, row_of, found)
                    sums[kind][first : first + len(group), places] = of_rows.cpu().numpy()
                shown.advance(len(group) * len(places))
    counts = np.array([rows.tokens([place]) for place in range(len(rows))], dtype=float)
    return [RowLosses(one, counts) for one in sums]


def _check(chat_model: ChatModel, rows: FrozenRows, variants: Sequence[Adapter]) -> None:
    """Refuse what would give a number that means nothing."""
    if not rows.tokens(range(len(rows))):
        raise DataError(f"the {len(rows)} rows have no token whose loss is read, so there is no mean loss.")
    for variant in variants:
        if variant.depth != rows.split.depth:
            raise AdapterError(
                f"an adapter at layer {variant.layer} needs rows cut at depth {variant.depth}; these were "
                f"cut at {rows.split.depth}."
            )
        variant.check(chat_model.model)
