"""Checkpoints as points: the numbers that a trajectory's components, distances and turns are taken of."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from narrows.adapters import Adapter, LoRA
from narrows.errors import AdapterError

Floats = NDArray[np.float64]
Checkpoints = Mapping[int, Adapter]
Of = Literal["B", "all"]
"""What of a LoRA makes its point: the write vectors s·B, or all of A and B."""


def points(run: Checkpoints, of: Of = "B") -> Floats:
    """A run's checkpoints as points, in the order of their steps, (checkpoints, coordinates), fp64.

    A steering vector is the point α·v. Of a LoRA the point is s·B by default, all modules in one row: what it
    writes to the stream, which starts at zero and which the paper compares (§5). A and B together mix two
    units, and A keeps its random start: brought to variance 1, each of A's coordinates would count as much as
    one of B. B has A's frame, so points of runs with different starts of A are not comparable, and beyond
    rank 1 not even their signs and order are fixed; the cosines and distances, taken of s·B·A, do not mind.

    Args:
        run: adapters by step.
        of: ``B`` for a LoRA's write vectors, ``all`` for A and B as they are stored.

    Raises:
        AdapterError: the checkpoints have different sizes.
    """
    rows = [_point(run[step], of) for step in sorted(run)]
    sizes = sorted({len(row) for row in rows})
    if len(sizes) > 1:
        raise AdapterError(
            f"checkpoints of {sizes[0]} and of {sizes[1]} coordinates cannot lie in one space: they belong "
            "to different models, ranks or modules."
        )
    return np.stack(rows) if rows else np.empty((0, 1))


def distance(adapter: Adapter, other: Adapter) -> float:
    """How far two adapters act apart: ‖αv − αv'‖ of vectors, ‖s·B·A − s'·B'·A'‖_F of LoRAs; fp64.

    Raises:
        AdapterError: they sit at different places, or are of different kinds or models.
    """
    if adapter.kind != other.kind:
        raise AdapterError(f"a {adapter.kind} and a {other.kind} adapter have no distance: they act apart.")
    adapter.cosine(other)  # refuses what does not lie in one space
    if isinstance(adapter, LoRA) and isinstance(other, LoRA):
        return _low_rank_distance(adapter, other)
    return float((adapter.coordinates() - other.coordinates()).norm())


def local_cosines(path: Floats, window: int = 1) -> list[float | None]:
    """How straight a path goes on at each point: the cosine of the way to it and the way from it.

    cos(x_i − x_{i−w}, x_{i+w} − x_i): 1 on a straight line, lower where the path turns; a sharp dip is the
    sign of a phase transition of training (Turner et al. 2025, arXiv:2506.11613). Where a path rests it has
    no way, and the cosine is 0.

    Args:
        path: (checkpoints, coordinates), in order.
        window: w, in checkpoints; 1 to see single steps, more to see past their noise.

    Returns:
        One value a checkpoint; None for the first and the last ``window``.
    """
    found: list[float | None] = [None] * len(path)
    for place in range(window, len(path) - window):
        before, after = path[place] - path[place - window], path[place + window] - path[place]
        lengths = float(np.linalg.norm(before) * np.linalg.norm(after))
        found[place] = float(before @ after) / lengths if lengths > 0 else 0.0
    return found


def _point(adapter: Adapter, of: Of) -> Floats:
    if of == "B" and isinstance(adapter, LoRA):
        writes = [_exact(b).flatten() for _, b in adapter.factors.values()]
        return np.asarray(torch.cat(writes).numpy() * adapter.scaling)
    return np.asarray(adapter.coordinates().numpy())


def _low_rank_distance(one: LoRA, other: LoRA) -> float:
    """‖s·B·A − s'·B'·A'‖_F, from triangular factors: no digits are lost where the two are nearly the same."""
    total = 0.0
    for name, (a, b) in one.factors.items():
        a2, b2 = other.factors[name]
        left = torch.cat([one.scaling * _exact(b), -other.scaling * _exact(b2)], dim=1)  # (out, 2 ranks)
        right = torch.cat([_exact(a), _exact(a2)])  # (2 ranks, in)
        product = torch.linalg.qr(left, mode="r").R @ torch.linalg.qr(right.T, mode="r").R.T
        total += float((product**2).sum())
    return float(np.sqrt(total))


def _exact(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", torch.float64)
