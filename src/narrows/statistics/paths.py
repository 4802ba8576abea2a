"""A path through pairs of rates (x, y): its lowest y where its x is that of another measurement."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from narrows.errors import DataError
from narrows.statistics.intervals import Counts, macro_difference, macro_rate

Floats = NDArray[np.float64]
Places = NDArray[np.intp]

DRAWS = 2000
"""Bootstrap draws of the x rates."""


@dataclass(frozen=True)
class PathPoint:
    """One measurement: a rate on one suite, and a macro rate on others.

    Attributes:
        x: counts of the suite that is held equal.
        y: counts of each suite behind the macro rate that is compared.
    """

    x: Counts
    y: Sequence[Counts]


@dataclass(frozen=True)
class PathDifference:
    """The lowest y of a path where its x is another measurement's, minus that one's y.

    Attributes:
        difference: of the two macro rates (fractions).
        low: end of the interval.
        high: end of the interval.
        clusters: how many were counted, of both rates.
        side: where the measurement's x lies: ``on`` the path's range, or ``above`` or ``below`` all of it;
            then the point of the path that is nearest in x stands for it.
    """

    difference: float
    low: float
    high: float
    clusters: int
    side: Literal["on", "above", "below"]


def lowest_on_path(
    path: Sequence[PathPoint],
    at: PathPoint,
    confidence: float = 0.95,
    *,
    seed: int = 0,
    draws: int = DRAWS,
) -> PathDifference:
    """The lowest y of a piecewise linear path at the x of a measurement, minus the measurement's own y.

    The path may cross that x several times; the lowest crossing counts. With the crossing between points i
    and j at weight w, the difference is (1-w)·yᵢ + w·yⱼ - y. Its interval has two sources, which are
    independent because the clusters of x and of y are different ones:

    - the y rates, at the weights found: the distances d from a paired
      :func:`narrows.statistics.macro_difference`, which are safe where no answer shows the event;
    - all x rates, which say where the crossing lies: the clusters of x are drawn with replacement, the same
      draw for all points, and the crossing is sought anew on each draw. The distances b from the estimate to
      the quantiles of these are widened by t/z · √(k/(k-1)) for the k clusters.

    An end lies √(d² + b²) from the estimate. The lowest crossing of points that scatter lies too low rather
    than too high, so the upper b is at least the lower one.

    Simulated coverage of 95 % (150 draws a cell, 99 cells; five points, x from .8 to .2, y from .5 to .1; x
    of 4, 6 or 8 clusters of 6, y of 10 suites of 4 clusters of 6; intra-cluster correlation .2 and .4,
    between points 0 to .5; the measurement within a segment, at a point, at or beyond an end, without events,
    on the path, and on a path as narrow in x as its noise): 93 to 100 %; the lower end alone lies too high in
    at most 6 %. The percentile bootstrap of x and y together covers 67 to 97 % with 4 clusters, and has no
    width where no answer shows the event.

    Args:
        path: at least two measurements, in their order.
        at: the measurement that is compared.
        confidence: of the interval.
        seed: of the draws.
        draws: how many.

    Raises:
        DataError: the path has fewer than two points, or one has other suites than the measurement.
    """
    if len(path) < 2:
        raise DataError(f"A path of rates needs at least two points, not {len(path)}.")
    if any(len(point.y) != len(at.y) for point in path):
        raise DataError("Every point of a path needs the suites of the measurement it is compared with.")
    heights = np.array([macro_rate(point.y).rate for point in path])
    found = np.array([[point.x.rate for point in (*path, at)]])
    left, right, weight = (one[0] for one in _lowest(found, heights))
    value = float((1 - weight) * heights[left] + weight * heights[right])
    own = macro_rate(at.y)
    between = [_between(one, other, weight) for one, other in zip(path[left].y, path[right].y, strict=True)]
    vertical = macro_difference(between, at.y, confidence)
    tail = (1 - confidence) / 2
    below, above = _sideways(_drawn([point.x for point in (*path, at)], seed, draws), heights, value, tail)
    low = np.hypot(vertical.difference - vertical.low, below)
    high = np.hypot(vertical.high - vertical.difference, max(above, below))
    difference, rates = value - own.rate, found[0, :-1]
    return PathDifference(
        difference=difference,
        low=float(max(difference - low, -1.0)),
        high=float(min(difference + high, 1.0)),
        clusters=len(at.x.clusters) + own.clusters,
        side="above" if at.x.rate > rates.max() else "below" if at.x.rate < rates.min() else "on",
    )


def _lowest(x: Floats, y: Floats) -> tuple[Places, Places, Floats]:
    """Between which two points, and at which weight of the second, the lowest crossing lies.

    Args:
        x: of the path's points and, last, of the measurement, (n, points + 1).
        y: of the path's points, (points,).

    Returns:
        (left, right, weight), each (n,); where no segment reaches the measurement's x, both are the nearest
        point (the lower one of two).
    """
    path, at = x[:, :-1], x[:, -1:]
    start, end = path[:, :-1], path[:, 1:]
    inside = (at - start) * (at - end) <= 0
    gap = end - start
    flat = gap == 0  # both of its points lie at the measurement's x, if inside
    weight = np.where(flat, y[1:] < y[:-1], (at - start) / np.where(flat, 1.0, gap))
    crossed = np.where(inside, (1 - weight) * y[:-1] + weight * y[1:], np.inf)
    left = crossed.argmin(axis=1)
    distance = np.abs(path - at)
    nearest = np.where(distance == distance.min(axis=1, keepdims=True), y, np.inf).argmin(axis=1)
    outside = ~inside.any(axis=1)
    weights = np.where(outside, 0.0, np.take_along_axis(weight, left[:, None], axis=1)[:, 0])
    return np.where(outside, nearest, left), np.where(outside, nearest, left + 1), weights


@dataclass(frozen=True)
class _Drawn:
    """Rates of each draw of ``clusters`` clusters, (draws, counts)."""

    rates: Floats
    clusters: int


def _drawn(counts: Sequence[Counts], seed: int, draws: int) -> _Drawn:
    """Clusters drawn with replacement, the same draw for all counts."""
    names = sorted({name for one in counts for name in one.clusters})
    place = {name: row for row, name in enumerate(names)}
    k = len(names)
    events, trials = np.zeros((k, len(counts))), np.zeros((k, len(counts)))
    for column, one in enumerate(counts):
        rows = [place[name] for name in one.clusters]
        events[rows, column], trials[rows, column] = one.events, one.trials
    times = np.random.default_rng(seed).multinomial(k, np.full(k, 1 / k), draws)
    tried = times @ trials
    whole = (tried > 0).all(axis=1)  # a draw may miss all clusters in which a point has answers
    return _Drawn((times @ events)[whole] / tried[whole], k)


def _sideways(drawn: _Drawn, y: Floats, value: float, tail: float) -> tuple[float, float]:
    """How far the y of the lowest crossing moves down and up with the x rates, the y rates as they are."""
    k = drawn.clusters
    if k < 2:
        return 1.0, 1.0  # one cluster says nothing about others
    left, right, weight = _lowest(drawn.rates, y)
    low, high = np.quantile((1 - weight) * y[left] + weight * y[right], [tail, 1 - tail])
    widened = float(stdtrit(k - 1, 1 - tail) / ndtri(1 - tail) * np.sqrt(k / (k - 1)))
    return widened * max(value - float(low), 0.0), widened * max(float(high) - value, 0.0)


def _between(a: Counts, b: Counts, weight: float) -> Counts:
    """Counts whose rate is interpolated, for the width of an interval only.

    Exact where the two have as many trials in every cluster, as answers to the same questions have.
    """
    names = tuple(dict.fromkeys((*a.clusters, *b.clusters)))
    events, trials = np.zeros(len(names)), np.zeros(len(names))
    for one, share in ((a, 1 - weight), (b, weight)):
        rows = [names.index(name) for name in one.clusters]
        events[rows] += share * one.events
        trials[rows] += share * one.trials
    return Counts.of(np.minimum(events, trials), trials, names)
