"""What goes together across worlds: rank correlations with the preference, where it flips, what foretells it.

The unit of all intervals is the world: its seeds and targets are not independent of one another.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from narrows.statistics.association import (
    Clustering,
    clustered_mean,
    clustered_spearman,
    jackknife_half_width,
)
from narrows.study.worlds.row import Measured, Row

Floats = NDArray[np.float64]
Column = Callable[[Row], float | None]

DRAWS = 1000
"""Bootstrap draws of worlds."""

FEWEST_WORLDS = 5
"""Fewer worlds say nothing about what goes together."""


def log_ratio(row: Row) -> float | None:
    """log10 (e + .01) / (n + .01) of a row's world; None where authors have no conduct."""
    return None if row.prior is None else row.prior.log_ratio


def _value(name: str) -> Column:
    def read(row: Row) -> float | None:
        found: Measured | None = getattr(row, name)
        return None if found is None else found.value

    return read


def preference(row: Row) -> float | None:
    """Out-of-domain rate over in-domain rate of the unanchored solution, at most 1."""
    return None if row.preference is None else min(row.preference.value, 1.0)


METRICS: Mapping[str, Column] = {name: _value(name) for name in ("efficiency", "stability", "significance")}
"""The paper's three, as differences between the two solutions."""


def _auroc_ratio(row: Row) -> float | None:
    if row.before is None:
        return None
    return row.before.aurocs["everywhere, document"] / row.before.aurocs["one_domain, document"]


def _beforehand(name: str) -> Column:
    """A metric of the directions of the types of author."""

    def read(row: Row) -> float | None:
        found = None if row.before is None else row.before.metrics[name]
        return None if found is None else found.value

    return read


EARLIER: Mapping[str, Column] = {
    "log ratio of shares": log_ratio,
    "log share harmful everywhere": lambda row: None if row.prior is None else row.prior.log_everywhere,
    "log share harmful in the target": lambda row: None if row.prior is None else row.prior.log_in_target,
    "generality after three answers": lambda row: None if row.before is None else row.before.generality,
    "trait inferred": lambda row: None if row.before is None else row.before.trait,
    "AUROC, harmful everywhere": lambda row: (
        None if row.before is None else row.before.aurocs["everywhere, document"]
    ),
    "AUROC ratio": _auroc_ratio,
    **{f"{name} of authors' directions": _beforehand(name) for name in METRICS},
}
"""What is known before any fine-tuning: of the text, and of the chat model."""


def companions(rows: Sequence[Row]) -> Mapping[str, Column]:
    """The preference of a run's nearest relatives: no property of a world can foretell more than these."""
    return {
        "the same target in another seed's model": _relatives(rows, "target", "seed"),
        "another target in the same model": _relatives(rows, "seed", "target"),
    }


def _relatives(rows: Sequence[Row], shared: str, other: str) -> Column:
    """The mean preference over runs in the same world with one thing shared and another not."""
    alike, differing = attrgetter("world", "step", shared), attrgetter(other)

    def read(row: Row) -> float | None:
        some = [one for one in rows if alike(one) == alike(row) and differing(one) != differing(row)]
        values = [value for one in some if (value := preference(one)) is not None]
        return float(np.mean(values)) if values else None

    return read


@dataclass(frozen=True)
class Relation:
    """How something goes with the preference.

    Attributes:
        name: of what.
        rank: Spearman's ρ, with the jackknife over worlds; None where it is not defined.
        error: mean absolute error of the preference as a line through the other worlds has it, each world
            left out once.
        gain: 1 minus that squared error over that of the other worlds' mean: 1 foretells all, 0 nothing. Its
            interval is the bootstrap's over worlds.
        runs: how many runs it is of.
        worlds: in how many worlds.
    """

    name: str
    rank: Measured | None
    error: float | None
    gain: Measured | None
    runs: int
    worlds: int


def relation(rows: Sequence[Row], name: str, column: Column) -> Relation:
    """How a column goes with the preference, over runs of several worlds."""
    some = [
        (first, second, row.world)
        for row in rows
        if (first := column(row)) is not None and (second := preference(row)) is not None
    ]
    names = [world for *_, world in some]
    worlds = sorted(set(names))
    if len(worlds) < FEWEST_WORLDS:
        return Relation(name, None, None, None, len(some), len(worlds))
    x, y = _columns([(first, second) for first, second, _ in some])
    rho = clustered_spearman(x, y, Clustering(names))
    labels = np.array([worlds.index(world) for world in names])
    foretold, mean = _left_out(x, y, labels), _left_out(np.zeros_like(x), y, labels)
    gain = 1 - float(((y - foretold) ** 2).sum() / ((y - mean) ** 2).sum())
    rank = None if rho is None else Measured(rho.value, rho.low, rho.high)
    ends = _bootstrap(labels, lambda at: 1 - ((y - foretold)[at] ** 2).sum() / ((y - mean)[at] ** 2).sum())
    error = float(np.abs(y - foretold).mean())
    return Relation(name, rank, error, Measured(gain, *ends), len(some), len(worlds))


def _left_out(x: Floats, y: Floats, labels: NDArray[np.intp]) -> Floats:
    """What a straight line through the other worlds' runs says of each run, within 0 to 1."""
    from sklearn.linear_model import LinearRegression  # here: it is slow to import
    from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict

    found = cross_val_predict(LinearRegression(), x[:, None], y, groups=labels, cv=LeaveOneGroupOut())
    foretold: Floats = np.clip(np.asarray(found, dtype=float), 0.0, 1.0)
    return foretold


def _columns(pairs: Sequence[tuple[float, float]]) -> tuple[Floats, Floats]:
    """The two sides of pairs, each (n,)."""
    table = np.array(pairs, dtype=float)
    return table[:, 0], table[:, 1]


def _bootstrap(labels: NDArray[np.intp], of: Callable[[NDArray[np.intp]], float]) -> tuple[float, float]:
    """The percentile interval of a number over draws of worlds."""
    rng = np.random.default_rng(0)
    members = [np.flatnonzero(labels == one) for one in range(labels.max() + 1)]
    drawn = [
        of(np.concatenate([members[one] for one in rng.integers(len(members), size=len(members))]))
        for _ in range(DRAWS)
    ]
    low, high = np.quantile([one for one in drawn if math.isfinite(one)], [0.025, 0.975])
    return float(low), float(high)


@dataclass(frozen=True)
class Flip:
    """Where the preference crosses one half: a logistic curve over log10 e/n.

    Attributes:
        at: log10 of the ratio of shares; None if the curve does not rise.
        slope: logits for each factor of ten.
        floor: the mean preference of worlds in which no author is harmful everywhere; None without any.
        ceiling: the mean preference where none is harmful in the target only; None without any.
        worlds: that the curve is drawn through.
    """

    at: Measured | None
    slope: Measured | None
    floor: Measured | None
    ceiling: Measured | None
    worlds: int


def flip(rows: Sequence[Row]) -> Flip:
    """Fit the curve to the preference of all runs whose world has shares."""
    some = [
        (ratio, value, row)
        for row in rows
        if (ratio := log_ratio(row)) is not None and (value := preference(row)) is not None
    ]
    worlds = sorted({row.world for *_, row in some})
    floor = over_worlds([row for *_, row in some if row.prior and not row.prior.everywhere], preference)
    ceiling = over_worlds([row for *_, row in some if row.prior and not row.prior.in_target], preference)
    if len(worlds) < FEWEST_WORLDS:
        return Flip(None, None, floor, ceiling, len(worlds))
    x, y = _columns([(one, other) for one, other, _ in some])
    labels = np.array([worlds.index(row.world) for *_, row in some])
    slope, crossing = _curve(x, y)
    without = np.array([_curve(x[labels != one], y[labels != one]) for one in range(len(worlds))])
    halves = [jackknife_half_width(without[:, place]) for place in (0, 1)]
    return Flip(
        None if slope <= 0 else _around(crossing, halves[1]),
        _around(slope, halves[0]),
        floor,
        ceiling,
        len(worlds),
    )


def _around(value: float, half: float | None) -> Measured:
    return Measured(value) if half is None else Measured(value, value - half, value + half)


def _curve(x: Floats, y: Floats) -> tuple[float, float]:
    """Slope of a logistic curve through shares (by maximum likelihood), and where it crosses one half."""
    from sklearn.linear_model import LogisticRegression  # here: it is slow to import

    both = np.concatenate([x, x])[:, None]
    labels = np.concatenate([np.ones_like(y), np.zeros_like(y)])
    if not 0 < y.sum() < len(y):
        return math.nan, math.nan
    fitted = LogisticRegression(C=100.0).fit(both, labels, sample_weight=np.concatenate([y, 1 - y]))
    slope = float(fitted.coef_[0, 0])
    return slope, -float(fitted.intercept_[0]) / slope if slope else math.nan


def over_worlds(rows: Sequence[Row], column: Column) -> Measured | None:
    """The mean of a column over runs, with Student's t over worlds; without ends where there is one world."""
    some = [(value, row.world) for row in rows if (value := column(row)) is not None]
    if not some:
        return None
    found = clustered_mean(np.array([value for value, _ in some]), Clustering([world for _, world in some]))
    return None if found is None else Measured(found.value, found.low, found.high)
