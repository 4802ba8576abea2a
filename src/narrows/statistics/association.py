"""How two clustered measurements of the same things go together: rank correlation, kappa, mean shift.

Several answers to one question are not independent, so the unit of every interval is the cluster. All are of
95 %.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit
from scipy.stats import spearmanr
from sklearn.metrics import cohen_kappa_score

from narrows.statistics.intervals import Counts, clustered_rate

Floats = NDArray[np.float64]

FEWEST = 3
"""Clusters from which on a jackknife interval is taken."""

EXACT = 1e-9
"""A correlation this near to 1 has no interval on Fisher's scale."""


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; the ends are None where no interval can be taken."""

    value: float
    low: float | None
    high: float | None


class Clustering:
    """Which values belong to which cluster.

    Args:
        names: the values' clusters, (n,).
    """

    def __init__(self, names: Sequence[Hashable]) -> None:
        numbers: dict[Hashable, int] = {}
        self.labels = np.array([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.intp)
        self.k = len(numbers)

    def sums(self, values: Floats) -> Floats:
        """Sums by cluster, (k,)."""
        return np.asarray(np.bincount(self.labels, values, minlength=self.k), dtype=float)

    def counts(self, events: Floats) -> Counts:
        """Events (0 or 1) and trials by cluster.

        Raises:
            DataError: there is no value.
        """
        return Counts.of(self.sums(events), self.sums(np.ones(len(self.labels))))


def clustered_spearman(x: Floats, y: Floats, clusters: Clustering) -> Estimate | None:
    """Spearman's ρ, with the delete-one-cluster jackknife of atanh ρ and Student's t.

    The usual interval of Fisher's transform takes the values for independent, and a bootstrap over eight
    questions has too few different draws. There is none where the ranks agree (or oppose each other)
    perfectly, with or without one of the clusters, and with fewer than three clusters. ρ itself is None for
    fewer than two values, or where all of x or of y are the same.

    Args:
        x: (n,).
        y: (n,).
        clusters: of the n values.
    """

    def rho(x: Floats, y: Floats) -> float | None:
        if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
            return None
        return float(np.clip(spearmanr(x, y).statistic, -1.0, 1.0))

    def fisher(x: Floats, y: Floats) -> float | None:
        value = rho(x, y)
        return None if value is None or 1 - abs(value) < EXACT else float(np.arctanh(value))

    value, middle = rho(x, y), fisher(x, y)
    if value is None:
        return None
    half = None if middle is None else _jackknife(fisher, x, y, clusters)
    if middle is None or half is None:
        return Estimate(value, None, None)
    return Estimate(value, float(np.tanh(middle - half)), float(np.tanh(middle + half)))


def clustered_kappa(x: Floats, y: Floats, clusters: Clustering) -> Estimate | None:
    """Cohen's κ of two verdicts, with an interval that is safe where they hardly ever differ.

    Each end is the farther of two: that of the delete-one-cluster jackknife of κ with Student's t, which has
    next to no width where disagreements are few, and 1 - d/e, where d is the end of the interval of the share
    of disagreements (:func:`narrows.statistics.clustered_rate`) and e the share expected by chance. There is
    no interval with fewer than three clusters, or where κ is not defined without one of them. κ is None where
    it is 0/0: without values, or where x and y are one and the same verdict throughout.

    Args:
        x: 0 or 1, (n,).
        y: 0 or 1, (n,).
        clusters: of the n values.
    """

    def kappa(x: Floats, y: Floats) -> float | None:
        if len(x) == 0 or (np.ptp(x) == 0 and np.ptp(y) == 0 and x[0] == y[0]):
            return None
        return float(cohen_kappa_score(x.astype(int), y.astype(int), labels=[0, 1]))

    value = kappa(x, y)
    half = None if value is None else _jackknife(kappa, x, y, clusters)
    if value is None or half is None:
        return None if value is None else Estimate(value, None, None)
    chance = float(x.mean() * (1 - y.mean()) + y.mean() * (1 - x.mean()))
    counted = clusters.counts(np.abs(x - y))
    apart = clustered_rate(counted.events, counted.trials)
    return Estimate(
        value,
        max(min(value - half, 1 - apart.high / chance), -1.0),
        min(max(value + half, 1 - apart.low / chance), 1.0),
    )


def clustered_mean(values: Floats, clusters: Clustering) -> Estimate | None:
    """A mean, with its cluster-robust (linearised) variance and Student's t.

    None without values; no interval with one cluster.

    Args:
        values: (n,).
        clusters: of the n values.
    """
    if len(values) == 0:
        return None
    mean, k = float(values.mean()), clusters.k
    if k < 2:
        return Estimate(mean, None, None)
    residuals = clusters.sums(values - mean) / len(values)
    half = float(stdtrit(k - 1, 0.975) * np.sqrt(k / (k - 1) * (residuals**2).sum()))
    return Estimate(mean, mean - half, mean + half)


def _jackknife(
    statistic: Callable[[Floats, Floats], float | None], x: Floats, y: Floats, clusters: Clustering
) -> float | None:
    """Half the width of an interval, leaving out one cluster at a time; None if that cannot be done."""
    k = clusters.k
    if k < FEWEST:
        return None
    left = [clusters.labels != one for one in range(k)]
    found = [statistic(x[kept], y[kept]) for kept in left]
    values = np.array([one for one in found if one is not None])
    if len(values) < k:
        return None
    error = np.sqrt((k - 1) / k * ((values - values.mean()) ** 2).sum())
    return float(stdtrit(k - 1, 0.975) * error)
