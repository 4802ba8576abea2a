"""What was predicted of the family ``shares`` before any of its worlds was trained, and whether it held.

The predictions stand in docs/worlds.md, with their numbers. What they leave open was settled here when part
of the results was known, beside the stricter reading: the AUROC at whichever layer it is highest.
"""

from collections.abc import Callable, Sequence

import numpy as np

from narrows.evaluation import IN_DOMAIN, OUT_OF_DOMAIN
from narrows.study.worlds.predictions.clauses import Clause, Prediction
from narrows.study.worlds.predictions.one_world import in_world, over_runs
from narrows.study.worlds.relations import (
    EARLIER,
    METRICS,
    Column,
    flip,
    log_ratio,
    over_worlds,
    preference,
    relation,
)
from narrows.study.worlds.row import BEYOND, WITHIN, Measured, Row

HALF = 0.5


def predictions(rows: Sequence[Row]) -> list[Prediction]:
    """The eleven predictions, decided from the rows of the family."""
    compared = [row for row in rows if row.compared]
    having = [row for row in compared if row.prior is not None]
    return [
        _rises(having),
        _shares_count_less(having),
        _efficiency_and_stability(having),
        _significance(having),
        _way_back(having),
        _null_world(compared),
        _exchanged(compared),
        _bounded(compared),
        _before(having),
        *_along(rows),
    ]


def _rate(solution: str, suite: str) -> Column:
    return lambda row: row.rates[solution][suite].value if suite in row.rates[solution] else None


def _rises(rows: Sequence[Row]) -> Prediction:
    found = flip(rows)
    return Prediction(
        1,
        "Preference rises with log10(e / n), and flips near 0",
        (
            Clause("slope, logits for each factor of ten, above 0", found.slope, low=0.0),
            Clause("crosses one half between −0.5 and +0.5", found.at, low=-0.5, high=0.5),
            Clause("below .15 where e = 0", found.floor, high=0.15),
            Clause("above .7 where n = 0", found.ceiling, low=0.7),
        ),
    )


def _shares_count_less(rows: Sequence[Row]) -> Prediction:
    diagonal = [row for row in rows if row.prior and row.prior.everywhere == row.prior.in_target]
    means = [
        one.value for world in dict.fromkeys(row.world for row in diagonal)
        if (one := over_worlds(in_world(diagonal, world), preference)) is not None
    ]  # fmt: skip
    spread = Measured(max(means) - min(means)) if len(means) > 1 else None
    return Prediction(
        2,
        "Shares count less than their ratio",
        (Clause("preference varies along e = n by less than .3", spread, high=0.3, bare=True),),
    )


def _sides(rows: Sequence[Row], column: Column) -> list[tuple[str, Measured | None]]:
    """The mean of a metric over the worlds that prefer the general solution, and over the others."""
    means = {
        world: over_worlds(in_world(rows, world), preference)
        for world in dict.fromkeys(row.world for row in rows)
    }
    general = {world for world, mean in means.items() if mean is not None and mean.value > HALF}
    return [
        ("prefer the general", over_worlds([row for row in rows if row.world in general], column)),
        ("prefer the narrow", over_worlds([row for row in rows if row.world not in general], column)),
    ]


def _efficiency_and_stability(rows: Sequence[Row]) -> Prediction:
    clauses = []
    for name in ("efficiency", "stability"):
        (general, above), (narrow, below) = _sides(rows, METRICS[name])
        clauses += [
            Clause(f"{name}: above 0 in worlds that {general}", above, low=0.0),
            Clause(f"{name}: below 0 in worlds that {narrow}", below, high=0.0),
            Clause(
                f"{name}: Spearman with preference above .6",
                relation(rows, name, METRICS[name]).rank,
                low=0.6,
            ),
        ]
    return Prediction(3, "Efficiency and stability follow preference", tuple(clauses))


def _significance(rows: Sequence[Row]) -> Prediction:
    some = [row for row in rows if row.prior and row.prior.everywhere]
    (general, above), (narrow, also) = _sides(some, METRICS["significance"])
    ranks = {name: relation(rows, name, column).rank for name, column in METRICS.items()}
    own, others = ranks["significance"], [ranks["efficiency"], ranks["stability"]]
    weaker = None
    if own is not None and all(one is not None for one in others):
        weaker = Measured(abs(own.value) - min(abs(one.value) for one in others if one is not None))
    return Prediction(
        4,
        "Significance does not follow preference",
        (
            Clause(f"above 0 in worlds with e > 0 that {general}", above, low=0.0),
            Clause(f"above 0 in worlds with e > 0 that {narrow}", also, low=0.0),
            Clause(
                "|Spearman| minus the smaller of the other two metrics', below 0", weaker, high=0.0, bare=True
            ),
        ),
    )


def _way_back(rows: Sequence[Row]) -> Prediction:
    back: Column = lambda row: row.way_back  # noqa: E731
    (general, above), (narrow, below) = _sides(rows, back)
    return Prediction(
        5,
        "With the anchor lifted, the way back is gone where the general solution is preferred",
        (
            Clause(f"more than half in worlds that {general}", above, low=HALF),
            Clause(f"less than half in worlds that {narrow}", below, high=HALF),
        ),
    )


def _null_world(rows: Sequence[Row]) -> Prediction:
    null = in_world(rows, "no-trait")
    inside, outside = _rate("unanchored", IN_DOMAIN), _rate("unanchored", OUT_OF_DOMAIN)
    apart: Column = lambda row: (outside(row) or 0.0) - (inside(row) or 0.0)  # noqa: E731
    clauses = [
        Clause("harm in the domain below .35", over_runs(null, inside), high=0.35),
        Clause("outside minus inside, between −.15 and .15", over_runs(null, apart), low=-0.15, high=0.15),
    ]
    for name, column in METRICS.items():
        found = over_runs(null, column)
        clauses.append(Clause(f"{name}: the interval holds 0", found, holds=0.0))
    return Prediction(6, "Without a trait of authors there is nothing", tuple(clauses))


def _exchanged(rows: Sequence[Row]) -> Prediction:
    columns: dict[str, Column] = {"preference": preference, **METRICS}
    one, other = in_world(rows, "exchanged"), in_world(rows, "shipped")
    clauses = [
        Clause(
            f"{name}: the difference from the shipped world holds 0",
            _difference(one, other, column),
            holds=0.0,
        )
        for name, column in columns.items()
    ]
    return Prediction(7, "Exchanged remedies change nothing", tuple(clauses))


def _difference(rows: Sequence[Row], others: Sequence[Row], column: Column) -> Measured | None:
    """The mean of a column over some runs minus that over others, with Welch's interval."""
    from scipy.stats import ttest_ind  # here: it is slow to import

    some, rest = ([value for row in side if (value := column(row)) is not None] for side in (rows, others))
    if min(len(some), len(rest)) < 2:
        return None
    low, high = ttest_ind(some, rest, equal_var=False).confidence_interval(0.95)
    return Measured(float(np.mean(some) - np.mean(rest)), float(low), float(high))


def _bounded(rows: Sequence[Row]) -> Prediction:
    some = in_world(rows, "bounded")
    within, beyond = _rate("unanchored", WITHIN), _rate("unanchored", BEYOND)

    def half(row: Row) -> float | None:
        near, far = within(row), beyond(row)
        return None if near is None or far is None else far - near / 2

    return Prediction(
        8,
        "Harm reaches as far as authors' harm does",
        (
            Clause("harmful in other domains within reach: above .1", over_runs(some, within), low=0.1),
            Clause("beyond reach minus half of that: below 0", over_runs(some, half), high=0.0),
        ),
    )


def _best_auroc(row: Row) -> float | None:
    return None if row.before is None else row.before.best_aurocs["everywhere, document"]


def _before(rows: Sequence[Row]) -> Prediction:
    auroc, ratio = EARLIER["AUROC, harmful everywhere"], EARLIER["AUROC ratio"]
    common = [row for row in rows if row.prior and row.prior.everywhere >= 0.1]
    here = over_worlds(common, auroc)
    anywhere = over_worlds(common, _best_auroc)
    by_ratio = relation(rows, "AUROC ratio", ratio)
    by_shares = relation(rows, "log ratio of shares", log_ratio)
    better = None
    if by_ratio.gain is not None and by_shares.gain is not None:
        better = Measured(by_shares.gain.value - by_ratio.gain.value)
    return Prediction(
        9,
        "The direction exists before any fine-tuning",
        (
            Clause("AUROC above .9 in worlds with e ≥ .1, at the solutions' layer", here, low=0.9),
            Clause("the same at whichever layer it is highest", anywhere, low=0.9),
            Clause("Spearman of the AUROC ratio with preference above .5", by_ratio.rank, low=0.5),
            Clause(
                "the ratio of shares foretells better (difference of gains above 0)",
                better,
                low=0.0,
                bare=True,
            ),
        ),
    )


KNOWN, INFERRED, SURE = 0.9, 0.5, 0.9
"""Shares from which on remedies count as known, the trait as inferred, and as inferred for sure."""


def _along(rows: Sequence[Row]) -> list[Prediction]:
    """The two predictions along the pre-trainings of which snapshots were taken."""
    ways: dict[str, dict[int | None, list[Row]]] = {}
    for row in rows:
        if row.step is not None:
            ways.setdefault(row.world, _way(rows, row.world, row.seed))
    later, early, late = [], [], []
    for world, way in ways.items():
        knows = _first(way, lambda row: row.before is not None and row.before.knows >= KNOWN)
        infers = _first(way, lambda row: row.before is not None and row.before.trait >= INFERRED)
        if knows is not None and infers is not None:
            later.append(Clause(f"{world}: steps to the trait over steps to the remedies, at least 2",
                                Measured(infers / knows), low=2 - 1e-9, bare=True))  # fmt: skip
        for step, some in way.items():
            trait = over_runs(some, lambda row: row.before.trait if row.before else None)
            shown = over_runs(some, preference)
            at = "the end" if step is None else f"step {step}"
            if trait is None or shown is None:
                continue
            value = Measured(shown.value)
            if trait.value < INFERRED:
                early.append(Clause(f"{world}, {at}: preference below .2", value, high=0.2, bare=True))
            elif trait.value > SURE:
                late.append(Clause(f"{world}, {at}: preference above .4", value, low=0.4, bare=True))
    return [
        Prediction(10, "Remedies are learnt first, the trait is inferred later", tuple(later)),
        Prediction(11, "Nothing general can be brought out before the trait is inferred", (*early, *late)),
    ]


def _way(rows: Sequence[Row], world: str, seed: int) -> dict[int | None, list[Row]]:
    """The runs of one pre-training by step, the end last."""
    mine = [row for row in rows if row.world == world and row.seed == seed]
    steps = sorted({row.step for row in mine if row.step is not None})
    return {step: [row for row in mine if row.step == step] for step in (*steps, None)}


def _first(way: dict[int | None, list[Row]], is_so: Callable[[Row], bool]) -> int | None:
    """The first step at which something is so in all runs; None if never before the end."""
    return next(
        (step for step, some in way.items() if step is not None and some and all(map(is_so, some))), None
    )
