"""Intervals: of clustered rates and their differences (``intervals``), of means and curves (``bands``)."""

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

__all__ = [
    "Counts",
    "DifferenceInterval",
    "MeanInterval",
    "RateInterval",
    "clustered_rate",
    "macro_difference",
    "macro_rate",
    "mean_interval",
    "rate_difference",
    "simultaneous_band",
]
