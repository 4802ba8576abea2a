"""A measured curve with its simultaneous band, and differences of curves measured on the same units."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from narrows.errors import DataError
from narrows.statistics import simultaneous_band

Floats = NDArray[np.float64]

SAME_POINT = 1e-5
"""Relative difference up to which two grid points are one: norms of fp32 vectors are no more exact."""


@dataclass(frozen=True)
class Curve:
    """A mean over units at each point of a grid, with a 95 % band that holds at all points at once.

    Attributes:
        name: whose curve it is.
        grid: the points (norms or ε), (points,).
        samples: what each unit contributes, (units, points); their mean is the curve.
        mean: (points,).
        low: (points,).
        high: (points,).
    """

    name: str
    grid: Floats
    samples: Floats
    mean: Floats
    low: Floats
    high: Floats

    @classmethod
    def of(cls, name: str, grid: Floats, samples: Floats) -> "Curve":
        """Make the band from what the units contribute, (units, points).

        Raises:
            DataError: fewer than two units, a value that is not finite, or another number of points.
        """
        points = np.asarray(grid, dtype=float)
        if samples.shape[-1:] != points.shape:
            raise DataError(
                f"The curve {name!r} has samples of shape {samples.shape} at {points.size} points."
            )
        return cls(name, points, samples, *simultaneous_band(samples))

    def minus(self, other: "Curve", at: Floats | None = None) -> "Curve":
        """The difference, paired unit by unit, with a band of its own.

        Args:
            other: measured on the same units and grid.
            at: take the difference at these points only, so that the band is simultaneous over them alone.

        Raises:
            DataError: the two have different units or grids, or ``at`` holds a point that is not on them.
        """
        name = f"{self.name} − {other.name}"
        if self.samples.shape != other.samples.shape or not np.allclose(self.grid, other.grid, SAME_POINT):
            raise DataError(
                f"{name}: the curves have {self.samples.shape} and {other.samples.shape} (units, points), at "
                f"{self.grid} and {other.grid}. Measure both on the same units at the same points."
            )
        chosen = np.arange(self.grid.size)
        if at is not None:
            same = np.isclose(self.grid[:, None], at, SAME_POINT)
            if missing := [float(x) for x in np.asarray(at)[~same.any(axis=0)]]:
                raise DataError(f"{name}: nothing was measured at {missing}; the points are {self.grid}.")
            chosen = np.flatnonzero(same.any(axis=1))
        return Curve.of(name, self.grid[chosen], (self.samples - other.samples)[:, chosen])
