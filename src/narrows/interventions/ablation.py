"""Ablation: the stream loses what it has along one direction or several (Arditi et al. 2024)."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from narrows.adapters.direction import Direction
from narrows.interventions.base import AlongDirections, Held, exactly, projection
from narrows.interventions.sites import Site


class Ablation(AlongDirections):
    """h − Σ (h·uᵢ)uᵢ at a site, for an orthonormal basis u of the directions' span; at every token.

    Computed in fp32 (fp64 for a stream in fp64) and rounded to the stream's dtype: in bf16 that rounding
    alone leaves about a thousandth of the stream's norm.

    Args:
        directions: one, or several whose whole span (the subspace) is taken out.
        site: where (:func:`narrows.interventions.sites.changed`): the directions' own ``layer``, all
            ``layers``, what is added to the stream (``writes``), or wherever it is read or written
            (``stream``).

    Raises:
        AdapterError: there is none, they have different widths, or at ``layer`` different layers.
        ConfigError: there is no such site.
    """

    kind: ClassVar[str] = "ablate"

    def __init__(self, directions: Direction | Sequence[Direction], site: Site = "layers") -> None:
        super().__init__(directions, site)
        self.basis = span(self.directions)
        self._held = Held(self.basis)

    def change(self, stream: Tensor) -> Tensor:
        """The stream without the directions, (…, hidden)."""
        exact = exactly(stream)
        for unit in self._held.like(exact):
            exact = exact - projection(exact, unit) * unit
        return exact.to(stream.dtype)


def span(directions: Sequence[Direction]) -> Tensor:
    """An orthonormal basis of what some directions span, (dimensions, hidden), fp64 on the CPU.

    A direction that lies in the span of the others adds no dimension.
    """
    units = torch.stack([one.unit.double() for one in directions])
    _, sizes, basis = torch.linalg.svd(units, full_matrices=False)
    kept: Tensor = basis[sizes > 1e-6 * sizes[0]]
    return kept
