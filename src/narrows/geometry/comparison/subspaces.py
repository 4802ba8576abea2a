"""Subspaces that several directions span, and the principal angles between two of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from narrows.adapters import Direction
from narrows.errors import AdapterError, ConfigError
from narrows.geometry.comparison.chance import LEVEL, Floats, random_units
from narrows.geometry.comparison.cosines import stacked_units
from narrows.progress import bar
from narrows.summary import Interval

SMALLEST = 1e-6
"""Singular values of unit directions below it: a direction that the others span already."""

DRAWS = 500
BYTES = 2**27
"""Most bytes of random directions drawn at once."""


@dataclass(frozen=True)
class Subspace:
    """What some directions span.

    Attributes:
        basis: (hidden, dimensions), orthonormal columns, fp64.
        names: of the directions.
    """

    basis: Floats
    names: tuple[str, ...]

    @classmethod
    def of(cls, directions: Sequence[Direction]) -> "Subspace":
        """The span of directions; those that the others span already add no dimension.

        Raises:
            ConfigError: there are none.
            AdapterError: they have different widths.
        """
        if not directions:
            raise ConfigError("a subspace needs one direction or more.")
        left, values, _ = np.linalg.svd(stacked_units(directions).T, full_matrices=False)
        return cls(left[:, values > SMALLEST], tuple(one.name for one in directions))

    @property
    def dimensions(self) -> int:
        """How many it has."""
        return int(self.basis.shape[1])


@dataclass(frozen=True)
class SubspaceComparison:
    """Two subspaces beside random ones of the same dimensions.

    Attributes:
        angles: principal angles in radians, the smallest first, one for each dimension of the smaller.
        random: the central 95 % of each angle between random subspaces.
        overlap: mean of cos² over the angles: the share of the smaller subspace that lies in the other.
        overlap_random: the central 95 % of it.
    """

    angles: Floats
    random: tuple[Interval, ...]
    overlap: float
    overlap_random: Interval


def principal_angles(one: Subspace, other: Subspace) -> Floats:
    """Principal angles between two subspaces in radians, the smallest first (Björck & Golub 1973), fp64.

    Small angles are taken from their sines, so they keep their digits. (scipy's ``subspace_angles`` looks
    up which of them are small in the wrong order, and loses those of angles below 1e-8 beside large ones.)

    Raises:
        AdapterError: they have different widths.
    """
    if len(one.basis) != len(other.basis):
        raise AdapterError(
            f"subspaces of streams of widths {len(one.basis)} and {len(other.basis)} belong to different "
            "models."
        )
    return _angles(one.basis, other.basis)


def random_angles(
    hidden: int,
    dimensions: tuple[int, int],
    *,
    covariance: Tensor | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Floats:
    """Principal angles between pairs of random subspaces, (draws, the smaller dimension), the smallest first.

    Args:
        hidden: the width of the residual stream.
        dimensions: of the two subspaces.
        covariance: (hidden, hidden), of the residual stream: the harder control.
        draws: pairs drawn.
        seed: draws them.

    Raises:
        ConfigError: the covariance has another width.
    """
    first, second = dimensions
    found = np.empty((draws, min(dimensions)))
    at_once = max(1, BYTES // (8 * hidden * (first + second)))
    with bar("random subspaces", draws) as shown:
        for start in range(0, draws, at_once):
            count = min(at_once, draws - start)
            units = random_units(
                hidden, count * (first + second), covariance=covariance, seed=seed + start
            ).reshape(count, first + second, hidden)
            bases = [np.linalg.qr(some.swapaxes(1, 2))[0] for some in (units[:, :first], units[:, first:])]
            found[start : start + count] = _angles(*bases)
            shown.advance(count)
    return found


def compare_subspaces(
    one: Subspace,
    other: Subspace,
    *,
    covariance: Tensor | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> SubspaceComparison:
    """Principal angles and overlap of two subspaces, beside random ones.

    Args:
        one: a subspace.
        other: another, of the same stream.
        covariance: draws the random ones with the residual stream's covariance: the harder control.
        draws: pairs of random ones.
        seed: draws them.

    Raises:
        AdapterError: they have different widths.
        ConfigError: the covariance has another width.
    """
    angles = principal_angles(one, other)
    dimensions = (one.dimensions, other.dimensions)
    chance = random_angles(len(one.basis), dimensions, covariance=covariance, draws=draws, seed=seed)
    return SubspaceComparison(
        angles=angles,
        random=tuple(_central(column) for column in chance.T),
        overlap=float((np.cos(angles) ** 2).mean()),
        overlap_random=_central((np.cos(chance) ** 2).mean(axis=1)),
    )


def _angles(left: Floats, right: Floats) -> Floats:
    """Angles, (…, the smaller dimension), ascending, of orthonormal columns, (…, hidden, dimensions)."""
    small, large = sorted((left, right), key=lambda basis: basis.shape[-1])
    shared = large.swapaxes(-1, -2) @ small
    cosines = np.linalg.svd(shared, compute_uv=False)
    sines = np.linalg.svd(small - large @ shared, compute_uv=False)[..., ::-1]
    return np.where(cosines**2 > 0.5, np.arcsin(np.clip(sines, 0, 1)), np.arccos(np.clip(cosines, 0, 1)))


def _central(values: Floats) -> Interval:
    """The central 95 % of a sample."""
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
