"""How well a score tells two kinds apart: thresholds of a stated false-positive rate, AUROC, exact shares."""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr, betaincinv, stdtrit

from narrows.errors import ConfigError, DataError
from narrows.statistics.intervals import PRIOR_CORRELATION, PRIOR_WEIGHT, RateInterval

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Auroc:
    """The chance that a positive scores above a negative (ties count half), with its interval.

    Attributes:
        value: 0 to 1; 0.5 tells nothing.
        low: end of the interval.
        high: end of the interval.
        positives: how many there are.
        negatives: how many there are.
        clusters: how many clusters they come in; as many as values if each stands alone.
    """

    value: float
    low: float
    high: float
    positives: int
    negatives: int
    clusters: int


@dataclass(frozen=True)
class MedianInterval:
    """A median with its interval over ``n`` replicates; an end is None where the interval has none there."""

    median: float
    low: float | None
    high: float | None
    n: int


def conformal_threshold(scores: ArrayLike, false_positives: float) -> float:
    """The score above which a new one alarms with a chance of at most ``false_positives``.

    The k-th smallest of n scores of benign things, k = ⌈(1 − α)(n + 1)⌉: if a new benign score is
    exchangeable with them (drawn alike), it lies above with a chance of at most (n + 1 − k)/(n + 1) ≤ α,
    whatever the scores' distribution (Vovk et al. 2005; Lei et al. 2018). The chance is over the draw of the
    n as well as of the new one. 20 scores give 1/21 = 4.8 % at their largest.

    Args:
        scores: of benign things, (n,).
        false_positives: α.

    Raises:
        ConfigError: α is not between 0 and 1, or smaller than n scores can support; says the smallest.
        DataError: there is no score, or one that is not finite.
    """
    row = _row(scores, "calibration scores")
    if not 0 < false_positives < 1:
        raise ConfigError(
            f"false_positives is {false_positives:g}; it is a rate, above 0 and below 1 (0.05)."
        )
    above = math.floor(false_positives * (row.size + 1) + 1e-9)
    if above < 1:
        raise ConfigError(
            f"a false-positive rate of {false_positives:g} needs {math.ceil(1 / false_positives - 1e-9) - 1} "
            f"benign scores, and there are {row.size}: they support {1 / (row.size + 1):.3g} at "
            "the smallest. Give more benign runs, or a higher rate."
        )
    return float(np.sort(row)[row.size - above])


def exact_share(events: int, trials: int, confidence: float = 0.95) -> RateInterval:
    """A share of independent trials with the exact interval of Clopper and Pearson (1934).

    It never covers less than it says, with 0 of n or n of n too: 0 of 20 ends at 16.8 %.

    Raises:
        DataError: there are no trials, or not 0 <= events <= trials.
    """
    if trials < 1 or not 0 <= events <= trials:
        raise DataError(f"{events} of {trials} is no share: it needs 0 <= events <= trials, and one trial.")
    tail = (1 - confidence) / 2
    low = 0.0 if events == 0 else float(betaincinv(events, trials - events + 1, tail))
    high = 1.0 if events == trials else float(betaincinv(events + 1, trials - events, 1 - tail))
    return RateInterval(events / trials, low, high, trials, trials)


def median_interval(values: ArrayLike, confidence: float = 0.95) -> MedianInterval:
    """The median, with the distribution-free interval between two of the ordered values.

    Values may be infinite (something that never happened); an end that is infinite is None, and so are both
    where there are too few values (below 6 for 95 %).

    Raises:
        DataError: there are no values, one is not a number, or the median itself is infinite.
    """
    row = np.sort(np.asarray(values, dtype=float))
    if row.ndim != 1 or row.size == 0 or np.isnan(row).any():
        raise DataError("A median needs one row of numbers, with at least one of them.")
    middle = float(row[(row.size - 1) // 2] + row[row.size // 2]) / 2
    if not math.isfinite(middle):
        raise DataError("The median is infinite: what it is taken of mostly never happened.")
    # The largest place with a chance of at most the tail that the true median lies below its value.
    place = int((bdtr(np.arange(row.size), row.size, 0.5) <= (1 - confidence) / 2).sum()) - 1
    if place < 0:
        return MedianInterval(middle, None, None, row.size)
    ends = (float(row[place]), float(row[row.size - 1 - place]))
    low, high = (end if math.isfinite(end) else None for end in ends)
    return MedianInterval(middle, low, high, row.size)


def auroc(
    positives: ArrayLike,
    negatives: ArrayLike,
    clusters: tuple[Sequence[Hashable], Sequence[Hashable]] | None = None,
    confidence: float = 0.95,
) -> Auroc:
    """The area under the ROC curve, with an interval that is safe when all are told apart.

    The interval is Newcombe's score form of Hanley and McNeil's variance: all θ with

        |θ̂ − θ| ≤ t √( θ(1−θ)/(mn) · (1 + N*·((1−θ)/(2−θ) + θ/(1+θ))) ),   N* = (m + n)/2 − 1

    Unlike DeLong's, which has no width there, it ends at .90 when 20 positives all lie above 20 negatives.

    With clusters (several answers to one question, several runs of one model and domain) m and n are divided
    by each side's design effect 1 + (size − 1)ρ, where size is the mean cluster that a score is in. ρ is what
    makes DeLong's variance the cluster-robust one (Obuchowski 1997); where few scores are out of order there
    is little to estimate it from, so it is drawn up to .2, as for rates
    (:func:`narrows.statistics.clustered_rate`). t is Student's with clusters − 1 degrees of freedom.

    Simulated coverage of the 95 % interval (normal scores, AUROC .5 to .99, correlations 0 and .3): 300 draws
    a cell, 4 clusters of 25, 8 of 1 and of 10, 20 of 1 and of 10, 40 of 4 on one side each; 4 of 25, 8 and 20
    of 10 that hold both kinds; 8 of 10, 20 of 4, 30 of 2 on both sides: 94.3 to 100 %. 4,000 draws, each
    alone, 20 + 20 and 10 + 30: 95.5 to 97.9 %. It is conservative near 1, and where clusters hold both kinds.

    References: Newcombe (2006), Stat. Med. 25, 559-573, method 5; Hanley & McNeil (1982), Radiology 143,
    29-36; Obuchowski (1997), Biometrics 53, 567-578.

    Args:
        positives: scores, (m,).
        negatives: scores, (n,).
        clusters: the clusters' names of the positives and of the negatives; None: each stands alone.
        confidence: of the interval.

    Raises:
        DataError: there are no positives or no negatives, a score is not finite, or the names do not match.
    """
    from scipy.stats import rankdata  # here: it is slow to import

    high, low = _row(positives, "positives"), _row(negatives, "negatives")
    m, n = high.size, low.size
    # Placements: the share of the other kind that each one lies on the right side of.
    ranks = rankdata(np.concatenate([high, low]))
    of_high = (ranks[:m] - rankdata(high)) / n
    of_low = 1 - (ranks[m:] - rankdata(low)) / m
    value = float(of_high.mean())
    sizes, groups = (float(m), float(n)), m + n
    if clusters is not None:
        if (len(clusters[0]), len(clusters[1])) != (m, n):
            raise DataError("Each score needs the name of its cluster.")
        sizes, groups = _effective(of_high, of_low, [*clusters[0], *clusters[1]])
    bounds = _newcombe(value, *sizes, groups, confidence)
    return Auroc(value, *bounds, positives=m, negatives=n, clusters=groups)


def _newcombe(value: float, m: float, n: float, groups: int, confidence: float) -> tuple[float, float]:
    """The two ends of the interval; of one cluster nothing is known."""
    if groups < 2:
        return 0.0, 1.0
    t, pseudo = float(stdtrit(groups - 1, (1 + confidence) / 2)), max((m + n) / 2 - 1, 0.0)

    from scipy.optimize import brentq  # here: it is slow to import

    def outside(theta: float) -> float:
        variance = theta * (1 - theta) / (m * n)
        variance *= 1 + pseudo * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        return float((value - theta) ** 2 - t**2 * variance)

    # At 0 and at 1 the variance is 0, so both ends lie outside unless the value itself is there.
    tiny = 1e-12
    low = 0.0 if value <= tiny else float(brentq(outside, 0.0, value - tiny))
    high = 1.0 if value >= 1 - tiny else float(brentq(outside, value + tiny, 1.0))
    return low, high


def _effective(high: Floats, low: Floats, names: Sequence[Hashable]) -> tuple[tuple[float, float], int]:
    """How many scores alone each side's clusters are worth, and how many clusters there are.

    Args:
        high: the positives' placements, (m,).
        low: the negatives', (n,).
        names: the clusters' names of both, m + n.
    """
    m, n, value = high.size, low.size, float(high.mean())
    numbers: dict[Hashable, int] = {}
    labels = np.array([numbers.setdefault(name, len(numbers)) for name in names])
    k = len(numbers)
    if k < 2:
        return (1.0, 1.0), k
    parts = np.concatenate([(high - value) / m, (low - value) / n])
    robust = k / (k - 1) * float((np.bincount(labels, parts, minlength=k) ** 2).sum())
    sizes = np.array([_mean_size(labels[:m]), _mean_size(labels[m:])])
    # Each side's own variance, and what one unit of ρ adds to it.
    plain = np.array([(part**2).sum() for part in (parts[:m], parts[m:])])
    added = float(plain @ (sizes - 1))
    estimate = (robust - float(plain.sum())) / added if added > 0 else 0.0
    disordered = int((high < 1).sum() + (low < 1).sum())
    weight = disordered / (disordered + PRIOR_WEIGHT)
    rho = max(estimate, weight * estimate + (1 - weight) * PRIOR_CORRELATION, 0.0)
    first, second = (
        max(count / (1 + (size - 1) * rho), 1.0) for count, size in zip((m, n), sizes.tolist(), strict=True)
    )
    return (first, second), k


def _mean_size(labels: NDArray[np.int64]) -> float:
    """The mean size of the cluster that a score is in (Kish's m)."""
    counts = np.bincount(labels).astype(float)
    return float((counts**2).sum() / counts.sum())


def _row(values: ArrayLike, what: str) -> Floats:
    row = np.asarray(values, dtype=float)
    if row.ndim != 1 or row.size == 0:
        raise DataError(f"The {what} are an array of shape {row.shape}; there must be at least one number.")
    if not np.isfinite(row).all():
        raise DataError(f"One of the {what} is not finite.")
    return row
