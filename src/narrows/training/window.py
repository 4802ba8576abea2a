"""One step's window of rows: both losses as token means over all of it, however it is cut into passes."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TypeAlias

import torch
from accelerate import PartialState
from accelerate.utils import reduce
from torch import Tensor

from narrows.adapters import Adapter
from narrows.chat import Rendered
from narrows.models import ChatModel, FrozenBatch, FrozenRows, Head, Split, is_sharded, recomputed
from narrows.training.objective import anchor_kl, final_states, response_nll
from narrows.training.order import RowOrder
from narrows.training.recipe import Recipe

TokenLoss: TypeAlias = Callable[[Head, Tensor, FrozenBatch], Tensor]

JOINED_TOKENS = {"cpu": 1024, "cuda": 2048}
"""Passes, of either loss, are made as one up to so many tokens: most are small, and each has its price.

By kind of device. On an H100 a step of a 14 B model with 1,240 tokens took 113 ms in one pass and 165 in two.
"""

FP16_LIFT = 2.0**10
"""What gradients are multiplied by on their way through a model in fp16; a power of 2 costs no digits."""


def lift_of(chat_model: ChatModel) -> float:
    """What a loss is multiplied by before its gradient is taken, and the gradient divided by after.

    In fp16 a token's share of a small KL's gradient is below what can be told from 0.
    """
    return FP16_LIFT if chat_model.model.dtype == torch.float16 else 1.0


def sources_of(rows: Sequence[Rendered], window: Sequence[int]) -> str:
    """Where the training rows of a window come from, for an error message."""
    names = [rows[place].source or f"training row {place + 1}" for place in window]
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


@dataclass(frozen=True)
class _Term:
    """One of the two losses: what it reads, with which head, and how many rows a pass has."""

    loss: TokenLoss
    rows: FrozenRows
    head: Head
    size: int
    by_pass: bool = False
    beside: Adapter | None = None

    @property
    def joins(self) -> bool:
        """Whether its rows can share a pass with others."""
        return self.rows.packed and self.beside is None

    def attached(self) -> AbstractContextManager[object]:
        """Attach the adapter that is beside the trained one while this loss is read, if there is one."""
        return nullcontext() if self.beside is None else self.beside.attach(self.rows.split.model)


@dataclass(frozen=True)
class _Part:
    """Some rows of a step that are read for one loss.

    Attributes:
        term: the loss.
        places: of the rows.
        share: what each token's loss counts in the step's; None for rows without adapter and gradient.
        counted: whether its sum belongs to this process.
    """

    term: _Term
    places: list[int]
    share: float | None
    counted: bool

    @property
    def tokens(self) -> int:
        """That go through the layers."""
        return sum(self.term.rows.lengths[place] for place in self.places)


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
        preventative: attached while the training rows are read.
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
        preventative: Adapter | None = None,
    ) -> None:
        self._recipe = recipe
        self._order = order
        self._processes = PartialState(cpu=chat_model.device.type == "cpu")
        self._lift = lift_of(chat_model)
        self._sharded = is_sharded(chat_model.model)
        self._joined = JOINED_TOKENS.get(chat_model.device.type, JOINED_TOKENS["cpu"])
        head, size = Head(chat_model.model), recipe.batch_size
        # Its hooks act on both parts of a cut model, so the frozen states below the cut hold it too.
        with nullcontext() if preventative is None else preventative.attach(chat_model):
            frozen = FrozenRows(chat_model, depth, rows, read="response", stored=preventative is None)
        self._nll = _Term(response_nll, frozen, head, size, beside=preventative)
        self._kl = _Term(
            anchor_kl,
            FrozenRows(chat_model, depth, anchor, read=recipe.anchor.positions, reference=True),
            Head(chat_model.model, torch.bfloat16) if "kl-bf16" in recipe.as_published else head,
            max(1, round(size * recipe.anchor.rows_per_row)),
            by_pass="kl-per-pass" in recipe.as_published,
        )

    def backward(self, adapter: Adapter, step: int) -> tuple[float, float | None]:
        """Add the gradient of a step, counted from 0, to the adapter's.

        Returns:
            The mean NLL in nats per response token, and the mean KL in nats per anchor token (None where λ
            is 0).
        """
        weight = self._recipe.anchor.weight_at(step)
        windows = [(self._nll, self._order.training_rows(step), 1.0)]
        if weight > 0:
            windows.append((self._kl, self._order.anchor_rows(step), weight))
        sums = [0.0, 0.0]
        for some in self._passed(part for window in windows for part in self._parts(*window)):
            for part, total in zip(some, self._pass(adapter, some), strict=True):
                sums[part.term is self._kl] += total if part.counted else 0.0
        for parameter in adapter.parameters():
            if parameter.grad is None:  # this process had no pass
                parameter.grad = torch.zeros_like(parameter)
            parameter.grad = self._sum(parameter.grad) / self._lift
        means = [
            float(self._sum(torch.tensor(total, dtype=torch.float64))) / term.rows.tokens(places)
            for total, (term, places, _) in zip(sums, windows, strict=False)
        ]
        return means[0], (means[1] if weight > 0 else None)

    def sources(self, step: int) -> str:
        """Where the training rows of a step come from, for an error message."""
        return sources_of(self._nll.rows.rows, self._order.training_rows(step))

    def _parts(self, term: _Term, window: list[int], weight: float) -> Iterator[_Part]:
        """This process's rows of a window, pass by pass; the step's loss has ``weight`` times their mean."""
        count = term.rows.tokens(window)
        for places, mine in self._passes(window, term.size):
            steered, left = places, places[:0]
            if "first-row-only" in self._recipe.as_published:
                steered, left = places[:1], places[1:]
            share = weight / (term.rows.tokens(places) if term.by_pass else count)
            yield _Part(term, steered, share if mine else 0.0, mine)
            if left:
                yield _Part(term, left, None, mine)

    def _passed(self, parts: Iterable[_Part]) -> Iterator[list[_Part]]:
        """Parts one by one, or as many at once as may share a pass.

        Where layers are shared out among processes each goes alone: all must make equally many passes.
        """
        some: list[_Part] = []
        for part in parts:
            joins = part.term.joins and part.share is not None and not self._sharded
            fits = sum(one.tokens for one in some) + part.tokens <= self._joined
            if some and not (joins and fits):
                yield some
                some = []
            some.append(part)
            if not joins:
                yield some
                some = []
        if some:
            yield some

    def _pass(self, adapter: Adapter, parts: list[_Part]) -> list[float]:
        """The sum of each part's losses; its share of their gradient is added."""
        first = parts[0]
        split, without = first.term.rows.split, first.share is None
        adapter = adapter.scaled(0.0) if without else adapter
        with first.term.attached(), torch.set_grad_enabled(not without):
            batches = [part.term.rows.batch(part.places) for part in parts]
            with adapter.within(split), self._recomputed(split):
                finals = final_states(split, adapter, batches)
                losses = [
                    part.term.loss(part.term.head, final, batch)
                    for part, final, batch in zip(parts, finals, batches, strict=True)
                ]
                if not without:
                    shares = [
                        (part.share or 0.0) * one.sum() for part, one in zip(parts, losses, strict=True)
                    ]
                    (self._lift * torch.stack(shares).sum()).backward()  # type: ignore[no-untyped-call]
        return [float(one.detach().sum()) for one in losses]

    def _recomputed(self, split: Split) -> AbstractContextManager[None]:
        """Gradient checkpointing, if the recipe asks for it."""
        return recomputed(split) if self._recipe.gradient_checkpointing else nullcontext()

    def _passes(self, window: list[int], size: int) -> Iterator[tuple[list[int], bool]]:
        """This process's share of the window's passes, and whether each is to be counted.

        Where layers are shared out among the processes, all must run equally often: one that has no pass
        left runs another's, which is not counted.
        """
        passes = list(self._order.passes(window, size))
        count = self._processes.num_processes
        for first in range(0, len(passes), count):
            number = first + self._processes.process_index
            if number < len(passes):
                yield passes[number], True
            elif self._sharded:
                yield passes[first], False

    def _sum(self, tensor: Tensor) -> Tensor:
        """The sum of a tensor over all processes."""
        if self._processes.num_processes == 1:
            return tensor
        summed: Tensor = reduce(tensor.to(self._processes.device), reduction="sum")
        return summed.to(tensor.device)
