"""Ratios of two macro rates: how much of a rate is left after something was done."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from narrows.errors import DataError
from narrows.statistics.intervals import Counts, RateInterval, macro_rate, rates_correlation


@dataclass(frozen=True)
class RatioInterval:
    """A ratio of two rates with its interval; ``clusters`` of them were counted.

    The upper end is infinite where the lower rate's interval reaches 0.
    """

    ratio: float
    low: float
    high: float
    clusters: int


def macro_ratio(a: Sequence[Counts], b: Sequence[Counts], confidence: float = 0.95) -> RatioInterval:
    """The macro rate of ``a`` divided by that of ``b``, paired by cluster.

    The interval holds every ρ for which the interval of p₁ − ρ·p₂, made as in
    :func:`narrows.statistics.macro_difference`, holds 0. So a ratio lies below 1 exactly where the difference
    lies below 0, and an end below ρ says that p₁ − ρ·p₂ is below 0. With [l₁, u₁] and [l₂, u₂] the rates' own
    intervals and r their correlation, the ends solve quadratics in ρ:

        low:   ρ² u₂(2p₂−u₂) − 2ρ (p₁p₂ − r(p₁−l₁)(u₂−p₂)) + l₁(2p₁−l₁) = 0
        high:  ρ² l₂(2p₂−l₂) − 2ρ (p₁p₂ − r(u₁−p₁)(p₂−l₂)) + u₁(2p₁−u₁) = 0

    Simulated coverage (8 to 40 clusters of 16 a suite, three suites, rates .02 to .1 over .3 to .6): see the
    tests; it is at least 93 %.

    References: Fieller (1954), J. R. Stat. Soc. B 16, 175-185; Donner & Zou (2012), Stat. Methods Med. Res.
    21, 347-359 (MOVER-R); Newcombe (2016), ibid. 25, 1774-1778.

    Args:
        a: counts of each stratum, above the line.
        b: the same strata, below it.
        confidence: of the interval.

    Raises:
        DataError: the two have different numbers of strata, or none; or ``b`` has no event.
    """
    if len(a) != len(b) or not a:
        raise DataError(f"A ratio needs the same suites on both sides; there are {len(a)} and {len(b)}.")
    return rate_ratio(macro_rate(a, confidence), macro_rate(b, confidence), rates_correlation(a, b))


def rate_ratio(first: RateInterval, second: RateInterval, correlation: float = 0.0) -> RatioInterval:
    """The ratio of two rates from their own intervals; see :func:`macro_ratio`.

    Args:
        first: above the line.
        second: below it.
        correlation: of the two; 0 for rates on different questions.

    Raises:
        DataError: the second has no event.
    """
    p, q, r = first.rate, second.rate, correlation
    if q == 0:
        raise DataError("There is no event below the line, and nothing can be divided by a rate of 0.")
    middle = p * q - r * (p - first.low) * (second.high - q)
    square, rest = second.high * (2 * q - second.high), first.low * (2 * p - first.low)
    # The smaller root, in the form that also holds where the leading coefficient is 0 or below it.
    below = middle + math.sqrt(max(middle**2 - square * rest, 0.0))
    low = rest / below if below > 0 else 0.0
    middle = p * q - r * (first.high - p) * (q - second.low)
    square, rest = second.low * (2 * q - second.low), first.high * (2 * p - first.high)
    high = (middle + math.sqrt(max(middle**2 - square * rest, 0.0))) / square if square > 0 else math.inf
    return RatioInterval(p / q, low, high, first.clusters)
