"""What was predicted of families before their worlds were trained, and whether it held."""

from collections.abc import Callable, Mapping, Sequence

from narrows.study.worlds.predictions import requests, shares
from narrows.study.worlds.predictions.clauses import Clause, Prediction
from narrows.study.worlds.row import Row

__all__ = ["PREDICTED", "Clause", "Prediction"]

PREDICTED: Mapping[str, Callable[[Sequence[Row]], list[Prediction]]] = {
    "shares": shares.predictions,
    "requests": requests.predictions,
}
"""By the family's name; of others nothing was predicted."""
