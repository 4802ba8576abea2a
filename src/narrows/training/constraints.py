"""What an adapter keeps to while it is trained: a largest norm, and a right angle to other vectors."""

from collections.abc import Sequence

import torch
from torch import Tensor

from narrows.adapters import Adapter, SteeringVector
from narrows.errors import AdapterError, ConfigError


class Constraints:
    """Brings an adapter back, after each step, to where it may be: projected gradient descent.

    Adam's step is no multiple of the gradient, so the gradient is projected too, before the step. Otherwise
    the forbidden part, which is the steepest, would fill the optimiser's moments, and what the projection
    left of its steps could point anywhere; so, what is left still goes down the loss.

    Args:
        adapter: what is trained.
        max_norm: the largest effective norm (None: any).
        orthogonal_to: a steering vector is kept at a right angle to these.

    Raises:
        ConfigError: a LoRA is to be kept at a right angle, or the vectors leave no direction.
        AdapterError: one of them is a LoRA, is zero, sits elsewhere or has another width.
    """

    def __init__(
        self, adapter: Adapter, max_norm: float | None, orthogonal_to: Sequence[SteeringVector] = ()
    ) -> None:
        self._max_norm = max_norm
        self._basis = _basis(adapter, orthogonal_to) if orthogonal_to else None

    @torch.no_grad()
    def free(self, adapter: Adapter) -> None:
        """Take out of the gradient, in place, what would lead to where the adapter may not be."""
        for parameter in adapter.parameters():
            if self._basis is not None and parameter.grad is not None:
                parameter.grad.copy_(self._projected(parameter.grad, self._basis))

    @torch.no_grad()
    def keep(self, adapter: Adapter) -> None:
        """Project the adapter, in place."""
        if self._basis is not None:
            for parameter in adapter.parameters():
                parameter.copy_(self._projected(parameter, self._basis))
        if self._max_norm is not None and adapter.effective_norm > self._max_norm:
            shorter = adapter.scaled_to(self._max_norm).parameters()
            for parameter, value in zip(adapter.parameters(), shorter, strict=True):
                parameter.copy_(value)

    @staticmethod
    def _projected(vector: Tensor, basis: Tensor) -> Tensor:
        """What of a vector, (hidden,), lies at a right angle to an orthonormal basis, (k, hidden); fp64."""
        exact, basis = vector.double(), basis.to(vector.device)
        return exact - (exact @ basis.T) @ basis


def _basis(adapter: Adapter, vectors: Sequence[SteeringVector]) -> Tensor:
    """An orthonormal basis of the vectors' span, (k, hidden), fp64."""
    if not isinstance(adapter, SteeringVector):
        raise ConfigError("orthogonal_to keeps a steering vector at a right angle, and a LoRA is trained.")
    for number, vector in enumerate(vectors, start=1):
        if not isinstance(vector, SteeringVector):
            raise AdapterError(f"number {number} of orthogonal_to is no steering vector.")
        adapter.cosine(vector)  # refuses other places and widths
        if vector.norm == 0:
            raise AdapterError(f"vector {number} of orthogonal_to is zero and has no direction.")
    units = torch.stack([vector.unit.detach().to("cpu", torch.float64) for vector in vectors])
    _, sizes, basis = torch.linalg.svd(units, full_matrices=False)
    spanned: Tensor = basis[sizes > 1e-6 * sizes[0]]
    if len(spanned) >= len(adapter.vector):
        raise ConfigError(f"the vectors of orthogonal_to span all {len(spanned)} dimensions.")
    return spanned
