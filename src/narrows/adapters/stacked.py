"""Many variants of an adapter in one pass: the rows of a batch are stacked variant by variant."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from narrows.adapters.base import Adapter
from narrows.adapters.lora import LoRA
from narrows.adapters.low_rank import hooked
from narrows.adapters.steering import SteeringVector
from narrows.errors import AdapterError
from narrows.models import Split


class Stacked(Protocol):
    """Variants that act together, each on its own share of the rows."""

    def enter(self, hidden: Tensor) -> Tensor:
        """Rows (rows, tokens, hidden), as each variant changes them: (variants · rows, tokens, hidden)."""
        ...

    def within(self, split: Split) -> AbstractContextManager[None]:
        """Change the layers above the cut inside the ``with`` block."""
        ...


def stacked(variants: Sequence[Adapter]) -> Stacked:
    """Put variants together.

    Raises:
        AdapterError: they are not of one kind, or do not act at the same places.
    """
    if all(isinstance(one, SteeringVector) for one in variants):
        return StackedVectors(cast(Sequence[SteeringVector], variants))
    if all(isinstance(one, LoRA) for one in variants):
        return StackedLoRAs(cast(Sequence[LoRA], variants))
    kinds = ", ".join(sorted({one.kind for one in variants}))
    raise AdapterError(f"adapters of different kinds cannot share a pass: {kinds}.")


class StackedVectors:
    """Several steering vectors at one place.

    Raises:
        AdapterError: they sit at different layers or modules.
    """

    def __init__(self, variants: Sequence[SteeringVector]) -> None:
        self._variants = list(variants)
        if len({(one.layer, one.module) for one in variants}) > 1:
            raise AdapterError("vectors at different layers or modules cannot share a pass.")

    def enter(self, hidden: Tensor) -> Tensor:
        """Rows (rows, tokens, hidden), steered by each vector unless a module above the cut is."""
        return torch.cat([variant.enter(hidden) for variant in self._variants])

    def within(self, split: Split) -> AbstractContextManager[None]:
        """Nothing changes above the cut, unless a module there does."""
        return self._hooked(split) if self._variants[0].module else nullcontext()

    @contextmanager
    def _hooked(self, split: Split) -> Iterator[None]:
        effective = torch.stack([one.effective for one in self._variants])[:, None, None]

        def steer(module: nn.Module, arguments: object, output: Tensor) -> Tensor:
            by_variant = output.view(len(effective), -1, *output.shape[1:])
            return (by_variant + effective.to(output.device, output.dtype)).view(output.shape)

        handle = self._variants[0].site(split.model).register_forward_hook(steer)
        try:
            yield
        finally:
            handle.remove()


class StackedLoRAs:
    """Several LoRAs of the same modules; lower ranks are filled up with zeros, which changes nothing.

    Raises:
        AdapterError: they change different modules.
    """

    def __init__(self, variants: Sequence[LoRA]) -> None:
        self._count = len(variants)
        if any(one.factors.keys() != variants[0].factors.keys() for one in variants):
            raise AdapterError("LoRAs of different modules cannot share a pass.")
        rank = max(one.rank for one in variants)
        self._factors = {
            name: (
                torch.stack([pad(one.factors[name][0], (0, 0, 0, rank - one.rank)) for one in variants]),
                torch.stack(
                    [pad(one.scaling * one.factors[name][1], (0, rank - one.rank)) for one in variants]
                ),
            )
            for name in variants[0].factors
        }

    def enter(self, hidden: Tensor) -> Tensor:
        """Rows (rows, tokens, hidden), once for each variant."""
        return hidden.repeat(self._count, 1, 1)

    @contextmanager
    def within(self, split: Split) -> Iterator[None]:
        """Change the layers above the cut inside the ``with`` block, each variant's rows by its factors."""
        with hooked(split.model, self._factors, 1.0):
            yield
