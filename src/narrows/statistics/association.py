"""How two clustered measurements of the same things go together: rank correlation, kappa, mean shift.

Several answers to one question are not independent, so the unit of every interval is the cluster. All are of
95 %.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from narrows.statistics.intervals import Counts, clustered_rate

Floats = NDArray[np.float64]

FEWEST = 3
"""Clusters from which on a jackknife interval is taken."""

EXACT = 1e-9
"""A correlation this near to 1 is 1."""


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

    Simulated coverage (150 draws a cell; 8 clusters of 50, 30 of 5, 80 of 2; cluster effects in the values
    and in their differences): 92.7 to 96.7 % for ρ from .4 to .97; 84 to 87 % at ρ = .998, where the interval
    is .003 wide.

    Args:
        x: (n,).
        y: (n,).
        clusters: of the n values.
    """
    value = _rho(x, y)
    if np.isnan(value):
        return None
    kept = [clusters.labels != one for one in range(clusters.k)]
    with np.errstate(divide="ignore"):
        half = jackknife_half_width(np.arctanh([_rho(x[some], y[some]) for some in kept]))
        middle = float(np.arctanh(value))
    if half is None or not np.isfinite(middle):
        return Estimate(value, None, None)
    return Estimate(value, float(np.tanh(middle - half)), float(np.tanh(middle + half)))


def _rho(x: Floats, y: Floats) -> float:
    """Spearman's ρ; NaN where it is not defined, and exactly ±1 where rounding alone keeps it from that."""
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    from scipy.stats import spearmanr  # here: it is slow to import

    rho = float(spearmanr(x, y).statistic)
    return float(np.sign(rho)) if 1 - abs(rho) < EXACT else rho


def clustered_kappa(x: Floats, y: Floats, clusters: Clustering) -> Estimate | None:
    """Cohen's κ of two verdicts, with an interval that is safe where they hardly ever differ.

    Each end is the farther of two: that of the delete-one-cluster jackknife of κ with Student's t, which has
    next to no width where disagreements are few, and 1 - d/e, where d is the end of the interval of the share
    of disagreements (:func:`narrows.statistics.clustered_rate`) and e the share expected by chance. There is
    no interval with fewer than three clusters, or where κ is not defined without one of them. κ is None where
    it is 0/0: without values, or where x and y are one and the same verdict throughout.

    Simulated coverage on the grid of :func:`clustered_spearman`, κ from .27 to .87 and rates from .04 to .5:
    95 to 100 %.

    Args:
        x: 0 or 1, (n,).
        y: 0 or 1, (n,).
        clusters: of the n values.
    """
    if len(x) == 0 or (np.ptp(x) == 0 and np.ptp(y) == 0 and x[0] == y[0]):
        return None
    from sklearn.metrics import cohen_kappa_score  # here: it is slow to import

    value = float(cohen_kappa_score(x.astype(int), y.astype(int), labels=[0, 1]))
    half = jackknife_half_width(_kappas_without_each(x, y, clusters))
    if half is None:
        return Estimate(value, None, None)
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

    None without values; no interval with one cluster. Simulated coverage on the grid of
    :func:`clustered_spearman`: 90 to 96.7 %, 94 % on average.

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


def _kappas_without_each(x: Floats, y: Floats, clusters: Clustering) -> Floats:
    """κ without one of the clusters at a time, (k,), from what is left of the sums; NaN where it is 0/0."""
    n, first, second, apart = (
        values.sum() - clusters.sums(values) for values in (np.ones(len(x)), x, y, np.abs(x - y))
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        chance = (first * (n - second) + second * (n - first)) / n**2
        return np.asarray(1 - apart / n / chance, dtype=float)


def jackknife_half_width(without: Floats) -> float | None:
    """Half the width of the jackknife's 95 % interval, from the statistic without one of the clusters at a
    time.

    None with fewer than :data:`FEWEST` clusters, or if one of the values is not finite.
    """
    k = len(without)
    if k < FEWEST or not np.isfinite(without).all():
        return None
    error = np.sqrt((k - 1) / k * ((without - without.mean()) ** 2).sum())
    return float(stdtrit(k - 1, 0.975) * error)
