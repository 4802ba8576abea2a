"""Banks: many adapters of one kind and place in one pass, each changing the rows that are its own."""

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


class Bank(Protocol):
    """Adapters that act together. The rows of a pass are stacked adapter by adapter: the first adapter's
    rows, then the second's, and so on; attention never crosses rows, so none sees another's change.

    Differentiable in the adapters' own parameters: each gets the gradient of its own rows.
    """

    def enter(self, hidden: Tensor) -> Tensor:
        """Stacked rows as their adapters change them: (rows, tokens, hidden) to the same shape."""
        ...

    def within(self, split: Split) -> AbstractContextManager[None]:
        """Change the layers above the cut inside the ``with`` block."""
        ...


def bank_of(adapters: Sequence[Adapter], shares: Sequence[int]) -> Bank:
    """Put adapters together.

    Args:
        adapters: of one kind, all at the same place.
        shares: how many rows of a pass each one has.

    Raises:
        AdapterError: they are not of one kind, or do not act at the same places.
    """
    if all(isinstance(one, SteeringVector) for one in adapters):
        return BankOfVectors(cast(Sequence[SteeringVector], adapters), shares)
    if all(isinstance(one, LoRA) for one in adapters):
        return BankOfLoRAs(cast(Sequence[LoRA], adapters), shares)
    kinds = ", ".join(sorted({one.kind for one in adapters}))
    raise AdapterError(f"adapters of different kinds cannot share a pass: {kinds}.")


class BankOfVectors:
    """Several steering vectors at one place.

    Raises:
        AdapterError: they sit at different layers or modules.
    """

    def __init__(self, adapters: Sequence[SteeringVector], shares: Sequence[int]) -> None:
        if len({(one.layer, one.module) for one in adapters}) > 1:
            raise AdapterError("vectors at different layers or modules cannot share a pass.")
        self._first = adapters[0]
        owner = torch.repeat_interleave(torch.tensor(shares))
        effective = torch.stack([one.effective for one in adapters])
        self._by_row = effective[owner.to(effective.device), None]  # (rows, 1, hidden)

    def enter(self, hidden: Tensor) -> Tensor:
        """Rows, steered each by its vector unless a module above the cut is."""
        return hidden if self._first.module else self._steered(hidden)

    def within(self, split: Split) -> AbstractContextManager[None]:
        """Nothing changes above the cut, unless a module there does."""
        return self._hooked(split) if self._first.module else nullcontext()

    def _steered(self, hidden: Tensor) -> Tensor:
        return hidden + self._by_row.to(hidden.device, hidden.dtype)

    @contextmanager
    def _hooked(self, split: Split) -> Iterator[None]:
        def steer(module: nn.Module, arguments: object, output: Tensor) -> Tensor:
            return self._steered(output)

        handle = self._first.site(split.model).register_forward_hook(steer)
        try:
            yield
        finally:
            handle.remove()


class BankOfLoRAs:
    """Several LoRAs of the same modules; lower ranks are filled up with zeros, which changes nothing.

    Raises:
        AdapterError: they change different modules.
    """

    def __init__(self, adapters: Sequence[LoRA], shares: Sequence[int]) -> None:
        if any(one.factors.keys() != adapters[0].factors.keys() for one in adapters):
            raise AdapterError("LoRAs of different modules cannot share a pass.")
        self._shares = list(shares)
        rank = max(one.rank for one in adapters)
        self._factors = {
            name: (
                torch.stack([pad(one.factors[name][0], (0, 0, 0, rank - one.rank)) for one in adapters]),
                torch.stack(
                    [pad(one.scaling * one.factors[name][1], (0, rank - one.rank)) for one in adapters]
                ),
            )
            for name in adapters[0].factors
        }

    def enter(self, hidden: Tensor) -> Tensor:
        """Rows as they are: a LoRA acts inside the layers."""
        return hidden

    @contextmanager
    def within(self, split: Split) -> Iterator[None]:
        """Change the layers above the cut inside the ``with`` block, each row by its LoRA's factors."""
        with hooked(split.model, self._factors, 1.0, self._shares):
            yield
