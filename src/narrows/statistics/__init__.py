"""Intervals: of clustered rates, their differences, ``ratios`` and ``paths``, of means and ``bands``."""

from narrows.statistics.bands import MeanInterval, mean_interval, simultaneous_band
from narrows.statistics.intervals import (
    Counts,
    DifferenceInterval,
    RateInterval,
    clustered_rate,
    macro_difference,
    macro_rate,
    rate_difference,
)
from narrows.statistics.paths import PathDifference, PathPoint, lowest_on_path
from narrows.statistics.ratios import RatioInterval, macro_ratio, rate_ratio

__all__ = [
    "Counts",
    "DifferenceInterval",
    "MeanInterval",
    "PathDifference",
    "PathPoint",
    "RateInterval",
    "RatioInterval",
    "clustered_rate",
    "lowest_on_path",
    "macro_difference",
    "macro_rate",
    "macro_ratio",
    "mean_interval",
    "rate_difference",
    "rate_ratio",
    "simultaneous_band",
]
