"""From activations to directions: the difference of two means, principal components of pairs, and chance."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from narrows.adapters.direction import Direction
from narrows.errors import DataError

MEAN_DIFFERENCE = "mean-difference"


def mean_difference(positive: Tensor, negative: Tensor, name: str = MEAN_DIFFERENCE) -> list[Direction]:
    """The mean of the positive rows minus that of the negative ones, at each layer (paper §7, Arditi 2024).

    Args:
        positive: (rows, layers, hidden), as :func:`row_means` gives them: those that show the behaviour.
        negative: (rows, layers, hidden), those that do not; not necessarily as many.
        name: what the directions are called.

    Returns:
        A direction for each layer, in order; ``length`` is the norm of the difference.

    Raises:
        DataError: the shapes do not fit, or a side has no rows.
        AdapterError: the two means agree at a layer.
    """
    check_sides(positive, negative)
    differences = positive.double().mean(dim=0) - negative.double().mean(dim=0)
    return as_directions(differences, name, {"method": MEAN_DIFFERENCE, **sizes(positive, negative)})


def as_directions(vectors: Tensor, name: str, found: Mapping[str, Any]) -> list[Direction]:
    """One direction for each layer, (layers, hidden)."""
    return [Direction.of(vector, layer, name, found) for layer, vector in enumerate(vectors)]


def sizes(positive: Tensor, negative: Tensor) -> dict[str, int]:
    """How many rows a direction rests on."""
    return {"positive": len(positive), "negative": len(negative)}


def check_sides(positive: Tensor, negative: Tensor) -> None:
    """See that two sets of activations can be set against each other.

    Raises:
        DataError: they cannot.
    """
    for side, rows in (("positive", positive), ("negative", negative)):
        if rows.ndim != 3 or not len(rows):
            raise DataError(
                f"the {side} activations have shape {tuple(rows.shape)}; they are (rows, layers, hidden), "
                "with at least one row."
            )
    if positive.shape[1:] != negative.shape[1:]:
        raise DataError(
            f"the positive activations are of {tuple(positive.shape[1:])} (layers, hidden) and the negative "
            f"ones of {tuple(negative.shape[1:])}: they come from different models."
        )
