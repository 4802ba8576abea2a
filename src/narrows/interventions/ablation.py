"""Ablation: the stream loses what it has along one direction or several (Arditi et al. 2024)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from narrows.adapters.direction import Direction
from narrows.errors import AdapterError
from narrows.interventions.sites import Site, changed
from narrows.models import ChatModel

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Ablation:
    """h − Σ (h·uᵢ)uᵢ at a site, for an orthonormal basis u of the directions' span; at every token.

    Computed in fp32 (fp64 for a stream in fp64) and rounded to the stream's dtype.

    Args:
        directions: one, or several whose whole span is taken out.
        site: where: the first direction's own ``layer``, or all ``layers``.

    Raises:
        AdapterError: there is none, or they have different widths.
    """

    kind = "ablate"

    def __init__(self, directions: Direction | Sequence[Direction], site: Site = "layers") -> None:
        self.directions = [directions] if isinstance(directions, Direction) else list(directions)
        if not self.directions:
            raise AdapterError("there is no direction to ablate.")
        self.directions[0].cosine(self.directions[-1])
        self.site: Site = site
        units = torch.stack([one.unit.double() for one in self.directions])
        _, sizes, basis = torch.linalg.svd(units, full_matrices=False)
        self.basis: Tensor = basis[sizes > 1e-6 * sizes[0]]

    @property
    def identity(self) -> list[object]:
        """The directions and the site."""
        return [self.kind, self.site, [one.identity for one in self.directions]]

    def check(self, model: "PreTrainedModel") -> None:
        """See that every direction fits a model.

        Raises:
            AdapterError: one does not.
        """
        for one in self.directions:
            one.check(model)

    def change(self, stream: Tensor) -> Tensor:
        """The stream without the directions, (…, hidden)."""
        exact = stream.to(torch.promote_types(stream.dtype, torch.float32))
        basis = self.basis.to(exact)
        return (exact - (exact @ basis.T) @ basis).to(stream.dtype)

    @contextmanager
    def attach(self, model: "PreTrainedModel | ChatModel") -> Iterator[None]:
        """Ablate inside the ``with`` block.

        Raises:
            AdapterError: a direction does not fit the model.
        """
        whole = model.model if isinstance(model, ChatModel) else model
        self.check(whole)
        with changed(whole, self.site, self.directions[0].layer, self.change):
            yield
