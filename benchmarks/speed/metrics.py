"""Workload (d): the three metrics of two vectors, ours beside one forward for each variant."""

from collections.abc import Sequence

import numpy as np
import torch
from benchmarks.speed.cases import Rows, grouped, padded
from benchmarks.speed.measuring import Phases, clocked
from torch import Tensor
from torch.nn import functional

from narrows.adapters import SteeringVector
from narrows.metrics import efficiency, significance, stability
from narrows.models import ChatModel, FrozenRows

BATCH = 8
NORMS = np.array([4.0, 8.0, 16.0])
EPSILONS, DRAWS = (0.1, 0.4), 2
ALL = "efficiency, stability and significance"

VARIANTS = 2 * (len(NORMS) + 2 + DRAWS * len(EPSILONS))
"""Whose loss on the rows is needed: efficiency's, and stability's with both vectors on and off."""

STEERED = 2 * len(NORMS)
"""Whose KL on the texts is needed."""


def two_vectors(chat_model: ChatModel) -> dict[str, SteeringVector]:
    """Random ones at the middle layer."""
    draw = torch.Generator().manual_seed(0)
    layer = chat_model.layers // 2 - 1
    return {
        name: SteeringVector(torch.randn(chat_model.hidden, generator=draw).to(chat_model.device), layer, 1.0)
        for name in ("general", "narrow")
    }


class Ours:
    """As ``narrows efficiency``, ``stability`` and ``significance`` do, from rendered rows on."""

    def __init__(self, chat_model: ChatModel, rows: Rows) -> None:
        self._chat_model, self._rows = chat_model, rows
        self._vectors = two_vectors(chat_model)
        self.found: list[float] = []

    def __call__(self) -> Phases:
        """All three."""
        return {ALL: clocked(self._chat_model.device, self._all)}

    def _all(self) -> None:
        model, vectors = self._chat_model, self._vectors
        depth = vectors["general"].depth
        rows = FrozenRows(model, depth, self._rows.training, read="response")
        losses = efficiency(model, rows, vectors, NORMS)
        stability(model, rows, vectors, epsilons=EPSILONS, draws=DRAWS)
        texts = FrozenRows(model, depth, self._rows.anchor, read="all", reference=True)
        moved = significance(model, texts, vectors, NORMS)["all"]
        self.found = [x for name in vectors for x in (*losses[name].mean, *moved[name].mean)]


class Plain:
    """As a careful user would: batches, a forward with a hook for each variant, one of the chat model."""

    def __init__(self, chat_model: ChatModel, rows: Rows, *, by_length: bool) -> None:
        self._model, self._device = chat_model.model, chat_model.device
        self._vectors = two_vectors(chat_model)
        self._batches, self._texts = (
            [padded(batch, self._device) for batch in grouped(some, BATCH, by_length=by_length, seed=0)]
            for some in (rows.training, rows.anchor)
        )
        self.found: list[float] = []

    def __call__(self) -> Phases:
        """All three."""
        return {ALL: clocked(self._device, self._all)}

    @torch.no_grad()
    def _all(self) -> None:
        scaled = {name: self._at_norms(one) for name, one in self._vectors.items()}
        losses = {name: [self._nll(vector) for vector in some] for name, some in scaled.items()}
        for one in self._vectors.values():
            vector = one.vector * one.alpha
            for variant in (torch.zeros_like(vector), vector, *self._turned(vector)):
                self._nll(variant)
        moved = self._kls([vector for some in scaled.values() for vector in some])
        count = len(NORMS)
        self.found = [
            x
            for place, name in enumerate(scaled)
            for x in (*losses[name], *moved[place * count : (place + 1) * count])
        ]

    def _at_norms(self, one: SteeringVector) -> list[Tensor]:
        return [one.vector / one.vector.norm() * float(norm) for norm in NORMS]

    def _turned(self, vector: Tensor) -> list[Tensor]:
        found = []
        for _ in range(DRAWS):
            noise = torch.randn_like(vector)
            noise -= noise @ vector / vector.square().sum() * vector
            noise *= vector.norm() / noise.norm()
            found += [(1 - epsilon**2) ** 0.5 * vector + epsilon * noise for epsilon in EPSILONS]
        return found

    def _logits(self, ids: Tensor, mask: Tensor, vector: Tensor | None = None) -> Tensor:
        def add(_module: object, _arguments: object, output: Tensor) -> Tensor:
            return output if vector is None else output + vector.to(output.dtype)

        layer = self._vectors["general"].layer
        handle = self._model.model.layers[layer].register_forward_hook(add)
        try:
            logits = self._model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        finally:
            handle.remove()
        return logits[:, :-1].float()

    def _nll(self, vector: Tensor) -> float:
        total, count = 0.0, 0
        for ids, mask, labels in self._batches:
            logits = self._logits(ids, mask, vector).flatten(0, 1)
            wanted = labels[:, 1:].flatten()
            total += float(functional.cross_entropy(logits, wanted, ignore_index=-100, reduction="sum"))
            count += int((wanted != -100).sum())
        return total / count

    def _kls(self, vectors: Sequence[Tensor]) -> list[float]:
        totals, count = [0.0] * len(vectors), 0
        for ids, mask, _ in self._texts:
            chat, real = self._logits(ids, mask).log_softmax(-1), mask[:, 1:]
            count += int(real.sum())
            for place, vector in enumerate(vectors):
                found = self._logits(ids, mask, vector).log_softmax(-1)
                each = functional.kl_div(found, chat, reduction="none", log_target=True).sum(-1)
                totals[place] += float((each * real).sum())
        return [total / count for total in totals]
