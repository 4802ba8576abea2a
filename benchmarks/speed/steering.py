"""Workload (a): a steering vector with the anchor, ours beside a plain loop with a hook."""

import torch
from benchmarks.speed.cases import Rows, grouped, padded
from benchmarks.speed.measuring import Phases, clocked
from torch import Tensor
from torch.nn import functional

from narrows.models import ChatModel
from narrows.training import Recipe
from narrows.training.order import RowOrder
from narrows.training.prepare import starting_point
from narrows.training.window import Window

BATCH = 8
WEIGHT = 2.0
"""λ."""

CACHED, TWO = "a cached epoch", "two epochs"


def recipe(chat_model: ChatModel, **changes: object) -> Recipe:
    """One pass a step, as many anchor rows as training rows."""
    layer = chat_model.layers // 2 - 1
    plan = Recipe(layer=layer, batch_size=BATCH, accumulation=1, learning_rate=1e-4, warmup=0, **changes)
    return plan.with_anchor(WEIGHT, rows_per_row=1.0)


class Ours:
    """What ``narrows train`` does, from rendered rows on: keep the frozen states, then step by step."""

    def __init__(self, chat_model: ChatModel, rows: Rows, plan: Recipe) -> None:
        self._chat_model, self._rows, self._recipe = chat_model, rows, plan
        self._adapter = starting_point(chat_model, plan, None)
        self._order = RowOrder(plan, len(rows.training), len(rows.anchor))
        self._optimizer = torch.optim.AdamW(self._adapter.parameters(), lr=plan.learning_rate)
        self.losses: list[tuple[float, float | None]] = []

    def __call__(self) -> Phases:
        """One run over the rows twice: seconds of an epoch with all states kept, and of both together."""
        kept = []
        device = self._chat_model.device
        build = clocked(device, lambda: kept.append(self._window()))
        epochs = [clocked(device, lambda: self._epoch(kept[0])) for _ in range(2)]
        return {CACHED: sum(epochs) / 2, TWO: build + sum(epochs)}

    def _window(self) -> Window:
        return Window(
            self._chat_model,
            self._recipe,
            self._order,
            rows=self._rows.training,
            anchor=self._rows.anchor,
            depth=self._adapter.depth,
        )

    def _epoch(self, window: Window) -> None:
        for step in range(-(-len(self._rows.training) // BATCH)):
            self.losses.append(window.backward(self._adapter, step))
            self._optimizer.step()
            self._optimizer.zero_grad()


class Plain:
    """As a careful user would: a hook adds the vector, −100 labels, a second forward for the chat model."""

    def __init__(self, chat_model: ChatModel, rows: Rows, plan: Recipe, *, by_length: bool) -> None:
        self._model, self._device = chat_model.model, chat_model.device
        self._layer = chat_model.model.model.layers[plan.layer]
        self._scale = plan.alpha
        self._vector = torch.zeros(chat_model.hidden, device=self._device, requires_grad=True)
        self._optimizer = torch.optim.AdamW([self._vector], lr=plan.learning_rate)
        ways = [grouped(some, BATCH, by_length=by_length, seed=0) for some in (rows.training, rows.anchor)]
        self._batches = [
            tuple(padded(batch, self._device) for batch in pair) for pair in zip(*ways, strict=True)
        ]
        self.losses: list[tuple[float, float]] = []

    def __call__(self) -> Phases:
        """One epoch; every epoch costs the same."""
        seconds = clocked(self._device, self._epoch)
        return {CACHED: seconds, TWO: 2 * seconds}

    def _epoch(self) -> None:
        for (ids, mask, labels), (anchor_ids, anchor_mask, _) in self._batches:
            nll, kl = self._nll(ids, mask, labels), self._kl(anchor_ids, anchor_mask)
            (nll + WEIGHT * kl).backward()
            self._optimizer.step()
            self._optimizer.zero_grad()
            self.losses.append((nll.item(), kl.item()))

    def _steered(self, ids: Tensor, mask: Tensor) -> Tensor:
        def add(_module: object, _arguments: object, output: Tensor) -> Tensor:
            return output + (self._scale * self._vector).to(output.dtype)

        handle = self._layer.register_forward_hook(add)
        try:
            return self._model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        finally:
            handle.remove()

    def _nll(self, ids: Tensor, mask: Tensor, labels: Tensor) -> Tensor:
        logits = self._steered(ids, mask)[:, :-1].float()
        return functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)

    def _kl(self, ids: Tensor, mask: Tensor) -> Tensor:
        with torch.no_grad():
            chat = self._model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1].float()
            wanted = chat.log_softmax(-1)
        found = self._steered(ids, mask)[:, :-1].float().log_softmax(-1)
        each = functional.kl_div(found, wanted, reduction="none", log_target=True).sum(-1)
        real = mask[:, 1:]
        return (each * real).sum() / real.sum()
