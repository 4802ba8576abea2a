"""What figures read of the rows in ``worlds.json``."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

Values = Mapping[str, Any]
"""``worlds.json``, or a part of it."""

METRICS = {
    "efficiency": "efficiency: difference of losses",
    "stability": "stability: difference of rises",
    "significance": "significance: difference of KLs",
}


def compared(results: Values) -> list[Values]:
    """The runs of worlds that are compared, as far as their authors have a conduct."""
    return [row for row in results["rows"] if row["compared"] and row["prior"] is not None]


def preference(row: Values) -> float | None:
    """The preference of a run, at most 1."""
    return None if row["preference"] is None else min(float(row["preference"]["value"]), 1.0)


def value_of(name: str) -> Callable[[Values], float | None]:
    """What reads a measured number of a run."""
    return lambda row: None if row[name] is None else float(row[name]["value"])


def mean_of(rows: Sequence[Values], of: Callable[[Values], float | None]) -> float | None:
    """The mean of something over those runs that have it; None if none has."""
    some = [value for row in rows if (value := of(row)) is not None]
    return float(np.mean(some)) if some else None
