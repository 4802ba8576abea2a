"""One step's window of rows: both losses as token means over all of it, however it is cut into passes."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TypeAlias

import torch
from accelerate import PartialState
from accelerate.utils import reduce
from torch import Tensor

from narrows.adapters import Adapter
from narrows.chat import Rendered
from narrows.models import ChatModel, FrozenBatch, FrozenRows, Head, Split, recomputed
from narrows.training.objective import anchor_kl, response_nll
from narrows.training.order import RowOrder
from narrows.training.recipe import Recipe

TokenLoss: TypeAlias = Callable[[Split, Head, Adapter, FrozenBatch], Tensor]

FP16_LIFT = 2.0**10
"""What gradients are multiplied by on their way through a model in fp16; a power of 2 costs no digits."""


class Window:
    """The loss of each step, L_SFT + λ · L_KL (paper §3), and its gradient.

    Under ``accelerate launch`` the processes share the passes out among themselves and end with the same
    sums.

    Args:
        chat_model: the frozen model.
        recipe: how the adapter is trained.
        order: which rows each step reads.
        rows: the training rows.
        anchor: the anchor rows.
        depth: the adapter's depth.
    """

    def __init__(
        self,
        chat_model: ChatModel,
        recipe: Recipe,
        order: RowOrder,
        *,
        rows: list[Rendered],
        anchor: list[Rendered],
        depth: int,
    ) -> None:
        self._recipe = recipe
        self._order = order
        self._processes = PartialState(cpu=chat_model.device.type == "cpu")
        self._head = Head(chat_model.model)
        # In fp16 a token's share of a small KL's gradient is below what can be told from 0.
        self._lift = FP16_LIFT if chat_model.model.dtype == torch.float16 else 1.0
        self._rows = FrozenRows(chat_model, depth, rows, read="response")
        self._anchor = FrozenRows(chat_model, depth, anchor, read=recipe.anchor.positions, reference=True)

    def backward(self, adapter: Adapter, step: int) -> tuple[float, float | None]:
        """Add the gradient of a step, counted from 0, to the adapter's.

        Returns:
            The mean NLL in nats per response token, and the mean KL in nats per anchor token (None where λ
            is 0).
        """
        batch, anchor = self._recipe.batch_size, self._recipe.anchor
        order, weight = self._order, anchor.weight_at(step)
        nll = self._add(adapter, self._rows, order.training_rows(step), response_nll, weight=1.0, size=batch)
        kl: float | None = None
        if weight > 0:
            size = max(1, round(batch * anchor.rows_per_row))
            kl = self._add(
                adapter, self._anchor, order.anchor_rows(step), anchor_kl, weight=weight, size=size
            )
        for parameter in adapter.parameters():
            if parameter.grad is None:  # this process had no pass
                parameter.grad = torch.zeros_like(parameter)
            parameter.grad = self._sum(parameter.grad) / self._lift
        return nll, kl

    def sources(self, step: int) -> str:
        """Where the training rows of a step come from, for an error message."""
        window = self._order.training_rows(step)
        names = [self._rows.rows[place].source or f"training row {place + 1}" for place in window]
        return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")

    def _add(
        self,
        adapter: Adapter,
        rows: FrozenRows,
        window: list[int],
        loss: TokenLoss,
        *,
        weight: float,
        size: int,
    ) -> float:
        """Add the gradient of ``weight`` times a loss's mean over the window's tokens; returns that mean."""
        count = rows.tokens(window)
        total = 0.0
        for places in self._mine(window, size):
            batch = rows.batch(places)
            with adapter.within(rows.split), self._recomputed(rows.split):
                losses = loss(rows.split, self._head, adapter, batch)
                (self._lift * weight * losses.sum() / count).backward()  # type: ignore[no-untyped-call]
            total += float(losses.detach().sum())
        return float(self._sum(torch.tensor(total, dtype=torch.float64))) / count

    def _recomputed(self, split: Split) -> AbstractContextManager[None]:
        """Gradient checkpointing, if the recipe asks for it."""
        return recomputed(split) if self._recipe.gradient_checkpointing else nullcontext()

    def _mine(self, window: list[int], size: int) -> Iterator[list[int]]:
        """This process's share of the window's passes."""
        for number, places in enumerate(self._order.passes(window, size)):
            if number % self._processes.num_processes == self._processes.process_index:
                yield places

    def _sum(self, tensor: Tensor) -> Tensor:
        """The sum of a tensor over all processes."""
        if self._processes.num_processes == 1:
            return tensor
        summed: Tensor = reduce(tensor.to(self._processes.device), reduction="sum")
        return summed.to(tensor.device)
