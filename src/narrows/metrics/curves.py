"""A measured curve with its simultaneous band, and the difference of two curves measured on the same units."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from narrows.statistics import simultaneous_band

Floats = NDArray[np.float64]


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
        """Make the band from what the units contribute, (units, points)."""
        mean, low, high = simultaneous_band(samples)
        return cls(name, np.asarray(grid, float), samples, mean, low, high)

    def minus(self, other: "Curve", at: Floats | None = None) -> "Curve":
        """The paired difference, unit by unit, at all points or at those of ``at``."""
        chosen = np.isin(self.grid, at) if at is not None else np.ones(len(self.grid), bool)
        difference = (self.samples - other.samples)[:, chosen]
        return Curve.of(f"{self.name} − {other.name}", self.grid[chosen], difference)
