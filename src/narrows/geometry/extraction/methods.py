"""From activations to directions: the difference of two means, principal components of pairs, and chance."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from narrows.adapters import square_root
from narrows.adapters.direction import Direction
from narrows.adapters.noise import gaussian_like
from narrows.errors import ConfigError, DataError

Method = Literal["mean-difference", "pca"]
"""How a direction is made of two groups of activations."""
METHODS: tuple[Method, ...] = get_args(Method)
"""All of :data:`Method`."""

_ALIKE = (
    "nothing tells positive from negative. (Before the answer, the rows of one question always are alike: "
    "read the answers.)"
)


def mean_difference(
    positive: Tensor, negative: Tensor, name: str = "mean-difference", *, first_layer: int = 0
) -> list[Direction]:
    """The mean of the positive rows minus that of the negative ones, at each layer (Arditi et al. 2024).

    Args:
        positive: (rows, layers, hidden), as :func:`row_means` gives them: those that show the behaviour.
        negative: (rows, layers, hidden), those that do not; not necessarily as many.
        name: what the directions are called.
        first_layer: the decoder layer of the first of the ``layers``, where only the upper ones are given.

    Returns:
        A direction for each layer, in order; ``length`` is the norm of the difference.

    Raises:
        DataError: the shapes do not fit, a side has no rows, or the two means are one at a layer.
    """
    _check_sides(positive, negative)
    differences = positive.mean(dim=0, dtype=torch.float64) - negative.mean(dim=0, dtype=torch.float64)
    if (alike := (differences == 0).all(dim=1)).any():
        raise DataError(f"the two means are one at layer {first_layer + int(alike.nonzero()[0])}: {_ALIKE}")
    facts = {"method": "mean-difference", "positive": len(positive), "negative": len(negative)}
    return [
        Direction.of(vector, layer, name, facts)
        for layer, vector in enumerate(differences, start=first_layer)
    ]


def pca_of_pairs(
    positive: Tensor, negative: Tensor, name: str = "pca", *, normalise: bool = True
) -> list[Direction]:
    """The first principal component of contrast pairs, at each layer (RepE: Zou et al. 2023, section 3.1).

    Both members of a pair are taken relative to the pair's middle, so a difference counts with both signs and
    the cloud is centred as it is: what RepE reaches by shuffling the order of each pair, without a draw. The
    component is signed so that the positive members project higher on average.

    Args:
        positive: (pairs, layers, hidden).
        negative: (pairs, layers, hidden); row i is the counterpart of the positive row i.
        name: what the directions are called.
        normalise: bring each pair's difference to length 1, so that a few pairs that differ in much else do
            not decide.

    Returns:
        A direction for each layer, in order; ``length`` is the mean difference along it, and ``found`` holds
        the share of the pairs' variance that it explains.

    Raises:
        DataError: the shapes do not fit, the numbers of rows differ, or all pairs are alike at a layer.
    """
    _check_sides(positive, negative)
    if len(positive) != len(negative):
        raise DataError(
            f"pairs need as many positive rows as negative ones; there are {len(positive)} and "
            f"{len(negative)}. The mean difference needs no pairs."
        )
    directions = []
    for layer in range(positive.shape[1]):
        differences = positive[:, layer].double() - negative[:, layer].double()
        lengths = differences.norm(dim=1, keepdim=True)
        if not lengths.any():
            raise DataError(f"all pairs are alike at layer {layer}: {_ALIKE}")
        cloud = differences / lengths.clamp(min=torch.finfo(torch.float64).tiny) if normalise else differences
        unit, share = _first_component(cloud)
        along = float((differences @ unit).mean())
        facts = {
            "method": "pca",
            "positive": len(positive),
            "negative": len(negative),
            "normalised": normalise,
            "explained_variance_ratio": share,
        }
        directions.append(
            Direction((unit if along >= 0 else -unit).float(), layer, name, abs(along) or 1.0, facts)
        )
    return directions


def random_directions(
    hidden: int, layer: int, count: int = 1, *, covariance: Tensor | None = None, seed: int = 0
) -> list[Direction]:
    """Directions that were found in nothing: the control for all others.

    Args:
        hidden: the width of the residual stream.
        layer: 0-indexed decoder layer.
        count: how many.
        covariance: (hidden, hidden), of the residual stream at that layer
            (:func:`narrows.models.residual_covariance`). Then the vectors are Gaussians with this covariance,
            which point where the activations vary: the harder control. None draws all directions alike.
        seed: draws them; a longer list begins with a shorter one.

    Raises:
        ConfigError: ``count`` or ``hidden`` is below 1, or ``layer`` negative.
        DataError: the covariance has another width.
    """
    for argument, value, least in (("hidden", hidden, 1), ("count", count, 1), ("layer", layer, 0)):
        if value < least:
            raise ConfigError(f"{argument} is {value}; it must be at least {least}.")
    if covariance is not None and covariance.shape != (hidden, hidden):
        raise DataError(f"the covariance has shape {tuple(covariance.shape)}, and the stream width {hidden}.")
    root = None if covariance is None else square_root(covariance)
    generator = torch.Generator().manual_seed(seed)
    drawn = "isotropic" if covariance is None else "residual covariance"
    facts = {"method": "random", "drawn": drawn, "seed": seed}
    like = torch.full((hidden,), hidden**-0.5, dtype=torch.float64)  # of length 1, and so are they
    return [
        Direction(gaussian_like(like, generator, root).float(), layer, f"random-{number}", found=facts)
        for number in range(count)
    ]


def found_by(
    method: Method, positive: Tensor, negative: Tensor, pairs: Sequence[tuple[int, int]], name: str
) -> list[Direction]:
    """Directions at each layer by a method, called by its name.

    Args:
        method: which.
        positive: (rows, layers, hidden).
        negative: (rows, layers, hidden).
        pairs: places of a positive row and its negative counterpart; read by ``pca`` only.
        name: what the directions are called.

    Raises:
        ConfigError: there is no such method.
        DataError: the method is ``pca`` and there are no pairs; or as the method itself.
    """
    if method not in METHODS:
        raise ConfigError(f"method is {method!r}; choose one of {', '.join(METHODS)}.")
    if method == "mean-difference":
        return mean_difference(positive, negative, name)
    if not pairs:
        raise DataError("there are no pairs: no question has both a positive and a negative row.")
    first, second = (torch.tensor(places) for places in zip(*pairs, strict=True))
    return pca_of_pairs(positive[first], negative[second], name)


def _first_component(rows: Tensor) -> tuple[Tensor, float]:
    """The first right-singular vector of (rows, hidden), and its share of the sum of squares, fp64.

    From the smaller of the two Gram matrices: only the largest singular vector is wanted.
    """
    if len(rows) < rows.shape[1]:
        values, vectors = torch.linalg.eigh(rows @ rows.T)
        unit = rows.T @ vectors[:, -1]
        unit = unit / unit.norm()
    else:
        values, vectors = torch.linalg.eigh(rows.T @ rows)
        unit = vectors[:, -1]
    return unit, float(values[-1] / values.clamp(min=0).sum())


def _check_sides(positive: Tensor, negative: Tensor) -> None:
    """See that two sets of activations can be set against each other."""
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


def with_facts(direction: Direction, facts: Mapping[str, Any]) -> Direction:
    """The same direction, with more said about how it was found."""
    return Direction(
        direction.unit, direction.layer, direction.name, direction.length, {**direction.found, **facts}
    )
