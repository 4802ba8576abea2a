"""One solution along another: how long its shadow is, and how much of it lies in a subspace."""

from dataclasses import dataclass

import numpy as np

from narrows.adapters import Direction
from narrows.errors import AdapterError
from narrows.geometry.comparison.cosines import stacked_units
from narrows.geometry.comparison.subspaces import Subspace


@dataclass(frozen=True)
class Projection:
    """A vector x along another, y.

    Attributes:
        name: of x.
        onto: of y.
        length: of the projection, in units of the residual stream; negative where x points away from y.
        share: the length as a share of ‖x‖: the cosine.
        of_other: the length as a share of ‖y‖: how much of y is contained in x.
        rest: the norm of what of x is orthogonal to y.
    """

    name: str
    onto: str
    length: float
    share: float
    of_other: float
    rest: float


def projection(direction: Direction, onto: Direction) -> Projection:
    """Project the vector that a direction was found as onto another, fp64.

    Raises:
        AdapterError: they have different widths.
    """
    one, other = stacked_units([direction, onto])
    share = float(one @ other)
    rest = float(np.linalg.norm(one - share * other))  # not √(1 − share²), which loses digits near 1
    length = direction.length * share
    return Projection(direction.name, onto.name, length, share, length / onto.length, direction.length * rest)


def share_within(direction: Direction, subspace: Subspace) -> float:
    """The share of a direction's norm that lies inside a subspace, 0 to 1.

    :func:`narrows.geometry.comparison.random_share_limit` is what a random direction has there.

    Raises:
        AdapterError: they have different widths.
    """
    unit = direction.unit.double().numpy()
    if len(unit) != len(subspace.basis):
        raise AdapterError(
            f"{direction.name} has width {len(unit)} and the subspace {len(subspace.basis)}: they belong to "
            "different models."
        )
    return float(np.linalg.norm(subspace.basis.T @ unit) / np.linalg.norm(unit))
