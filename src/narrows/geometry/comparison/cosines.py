"""Tables of cosines between directions, with the band of random ones, and the means of groups of them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit
from torch import Tensor

from narrows.adapters import Direction
from narrows.errors import AdapterError, ConfigError
from narrows.geometry.comparison.chance import DRAWS, LEVEL, Floats, random_cosine_limit, random_units
from narrows.summary import Interval


@dataclass(frozen=True)
class CosineTable:
    """The cosines between n directions, beside those of random ones.

    Attributes:
        names: of the directions.
        layers: where each was found.
        lengths: the norms of the vectors that they were found as.
        cosines: (n, n), fp64.
        limit: |cosine| that random directions of this width stay below in 95 % of cases, pair by pair.
        limit_all: the same for all pairs of the table at once (Bonferroni).
        covariance_limits: (n, n), the same limit pair by pair for random directions with the residual
            stream's covariance; None where no covariance was given.
    """

    names: tuple[str, ...]
    layers: tuple[int, ...]
    lengths: tuple[float, ...]
    cosines: Floats
    limit: float
    limit_all: float
    covariance_limits: Floats | None = None


def cosine_table(
    directions: Sequence[Direction],
    *,
    covariances: Mapping[int, Tensor] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> CosineTable:
    """Compare directions with each other, whatever their layers.

    The covariance limit of a pair is the larger of two: of the first direction with random ones of the
    second's layer, and the other way round. A direction along which the stream varies much has a high one.

    Args:
        directions: at least two, of one width.
        covariances: of the residual stream by layer (:func:`narrows.models.residual_covariance`), for the
            harder limit.
        draws: random directions of each layer.
        seed: draws them.

    Raises:
        ConfigError: there are fewer than two directions, or a layer's covariance is missing or of another
            width.
        AdapterError: they have different widths.
    """
    if len(directions) < 2:
        raise ConfigError(f"a comparison needs two directions or more, and {len(directions)} was given.")
    units = stacked_units(directions)
    pairs = len(units) * (len(units) - 1) // 2
    hidden = units.shape[1]
    return CosineTable(
        names=tuple(one.name for one in directions),
        layers=tuple(one.layer for one in directions),
        lengths=tuple(one.length for one in directions),
        cosines=np.clip(units @ units.T, -1, 1),
        limit=random_cosine_limit(hidden),
        limit_all=random_cosine_limit(hidden, 1 - (1 - LEVEL) / pairs),
        covariance_limits=(
            None if covariances is None else _covariance_limits(directions, units, covariances, draws, seed)
        ),
    )


@dataclass(frozen=True)
class GroupCosine:
    """The mean cosine of the pairs between two groups of directions, or within one.

    Attributes:
        first: a group.
        second: another, or the same.
        pairs: how many pairs the mean is over.
        mean: their mean cosine.
        ci95: its interval, with the directions as units (jackknife, Student's t); None where a group has too
            few: three within a group, two in each of two.
        least: the lowest cosine.
        most: the highest.
    """

    first: str
    second: str
    pairs: int
    mean: float
    ci95: Interval | None
    least: float
    most: float


def group_cosines(table: CosineTable, groups: Sequence[str]) -> list[GroupCosine]:
    """Mean cosines within and between groups of directions: behaviours, seeds, layers, models.

    Pairs that share a direction are not independent, so the interval comes from leaving out one direction
    at a time.

    Args:
        table: the cosines.
        groups: the group of each direction, in the table's order.

    Raises:
        ConfigError: there is not one group for each direction.
    """
    if len(groups) != len(table.names):
        raise ConfigError(f"{len(groups)} groups for {len(table.names)} directions: give one for each.")
    places = {name: [at for at, one in enumerate(groups) if one == name] for name in dict.fromkeys(groups)}
    names = list(places)
    return [
        _of_pair(table.cosines, first, second, places)
        for number, first in enumerate(names)
        for second in names[number:]
        if first != second or len(places[first]) > 1
    ]


def stacked_units(directions: Sequence[Direction]) -> Floats:
    """The directions' unit vectors, (n, hidden), fp64.

    Raises:
        AdapterError: they have different widths.
    """
    for one in directions[1:]:
        if len(one.unit) != len(directions[0].unit):
            raise AdapterError(
                f"{directions[0].name} has width {len(directions[0].unit)} and {one.name} {len(one.unit)}: "
                "they belong to different models, which can only be compared by effect (`narrows direction "
                "effects`)."
            )
    units = np.stack([one.unit.double().numpy() for one in directions])
    return np.asarray(units / np.linalg.norm(units, axis=1, keepdims=True))


def _covariance_limits(
    directions: Sequence[Direction],
    units: Floats,
    covariances: Mapping[int, Tensor],
    draws: int,
    seed: int,
) -> Floats:
    """The 95 % limit of |cosine| of each pair, (n, n), with random directions of the layers' covariances."""
    limits: dict[int, Floats] = {}
    for layer in {one.layer for one in directions}:
        if layer not in covariances:
            raise ConfigError(f"there is no covariance of layer {layer}, where some of the directions lie.")
        drawn = random_units(units.shape[1], draws, covariance=covariances[layer], seed=seed)
        limits[layer] = np.quantile(np.abs(drawn @ units.T), LEVEL, axis=0)
    with_layer_of = np.stack([limits[one.layer] for one in directions], axis=1)  # [i, j]: i with draws of j's
    found = np.maximum(with_layer_of, with_layer_of.T)
    np.fill_diagonal(found, 1.0)
    return np.asarray(found)


def _of_pair(cosines: Floats, first: str, second: str, places: Mapping[str, Sequence[int]]) -> GroupCosine:
    """The mean of the pairs of two groups, or within one, with its jackknife interval."""
    rows, columns = np.array(places[first]), np.array(places[second])
    block = cosines[np.ix_(rows, columns)]
    counted = np.triu(np.ones(block.shape, bool), 1) if first == second else np.ones(block.shape, bool)
    values = block[counted]
    mean, interval = float(values.mean()), None
    if first == second and len(rows) > 2:
        sums = np.where(np.eye(len(rows), dtype=bool), 0.0, block).sum(axis=1)
        left_out = (values.sum() - sums) / (len(values) - len(rows) + 1)
        interval = _around(mean, _jackknife(left_out), len(rows) - 1)
    elif first != second and min(block.shape) > 1:
        left_out_of = [
            (values.sum() - block.sum(axis=side)) / (values.size - block.shape[side]) for side in (0, 1)
        ]
        error = math.hypot(*map(_jackknife, left_out_of))
        interval = _around(mean, error, min(block.shape) - 1)
    return GroupCosine(first, second, len(values), mean, interval, float(values.min()), float(values.max()))


def _jackknife(left_out: Floats) -> float:
    """The standard error of a mean from the means without each unit."""
    return float(np.sqrt((len(left_out) - 1) * left_out.var()))


def _around(mean: float, error: float, freedom: int) -> Interval:
    half = float(stdtrit(freedom, (1 + LEVEL) / 2)) * error
    return max(mean - half, -1.0), min(mean + half, 1.0)
