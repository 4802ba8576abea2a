"""Intervals: of clustered rates, their differences and ``ratios``, of means and curves (``bands``)."""

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
from narrows.statistics.ratios import RatioInterval, macro_ratio

__all__ = [
    "Counts",
    "DifferenceInterval",
    "MeanInterval",
    "RateInterval",
    "RatioInterval",
    "clustered_rate",
    "macro_difference",
    "macro_rate",
    "macro_ratio",
    "mean_interval",
    "rate_difference",
    "simultaneous_band",
]
