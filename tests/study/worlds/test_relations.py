"""What goes together across worlds, on rows whose relations are known."""

from dataclasses import replace

import numpy as np
import pytest

from narrows.microworld.family import Prior
from narrows.study.worlds.relations import (
    EARLIER,
    METRICS,
    companions,
    flip,
    log_ratio,
    over_worlds,
    preference,
    relation,
)
from narrows.study.worlds.row import Measured, Row
from world_rows import before, grid, row


def test_the_flip_is_where_the_rows_have_it():
    found = flip(grid(slope=3.0, at=0.4, noise=0.03))
    assert found.at is not None
    assert found.at.value == pytest.approx(0.4, abs=0.1)
    assert found.at.low < 0.4 < found.at.high
    assert found.slope.value == pytest.approx(3.0, abs=0.6)
    assert found.slope.low > 0
    assert found.worlds == 15
    assert found.floor.value < 0.2 < 0.8 < found.ceiling.value


def test_a_preference_that_falls_with_the_ratio_flips_nowhere():
    found = flip(grid(slope=-3.0))
    assert found.at is None
    assert found.slope.value < 0


def test_a_metric_that_follows_the_preference_ranks_and_foretells_it():
    found = relation(grid(noise=0.02), "efficiency", METRICS["efficiency"])
    assert found.rank.value > 0.99
    assert found.gain.value > 0.95
    assert found.error < 0.05
    assert (found.runs, found.worlds) == (60, 15)


def test_a_metric_of_chance_does_neither():
    rng = np.random.default_rng(1)
    rows = [replace(one, stability=Measured(float(rng.normal()))) for one in grid()]
    found = relation(rows, "stability", METRICS["stability"])
    assert abs(found.rank.value) < 0.4
    assert found.rank.low < 0 < found.rank.high
    assert found.gain.value < 0.2
    assert found.gain.low < found.gain.value < found.gain.high


def test_no_run_of_a_world_helps_to_foretell_it():
    """A column that tells worlds apart, and nothing else, foretells nothing of a world left out."""

    def gain(seed: int) -> float:
        rng = np.random.default_rng(seed)
        rows = [
            row(f"w{world}", 0.1, 0.1, shown, efficiency=Measured(place), seed=number)
            for world, (place, shown) in enumerate(
                zip(rng.normal(size=20), rng.uniform(size=20), strict=True)
            )
            for number in range(4)
        ]
        return relation(rows, "efficiency", METRICS["efficiency"]).gain.value

    assert np.mean([gain(seed) for seed in range(8)]) < 0.05


def test_too_few_worlds_have_no_relation():
    found = relation(grid()[:16], "efficiency", METRICS["efficiency"])
    assert (found.rank, found.gain, found.worlds) == (None, None, 4)
    assert flip(grid()[:16]).at is None
    assert over_worlds([], preference) is None


def test_shares_of_zero_have_a_place_on_the_axis():
    assert log_ratio(row("a", 0.0, 0.09, 0.1)) == pytest.approx(-1)
    assert log_ratio(row("a", 0.09, 0.0, 0.1)) == pytest.approx(1)
    assert log_ratio(row("a", None, None, 0.1)) is None


def test_each_share_alone_is_on_the_same_axis():
    everywhere, in_target = (
        EARLIER[f"log share harmful {where}"] for where in ("everywhere", "in the target")
    )
    one = row("a", 0.09, 0.0, 0.1)
    assert (everywhere(one), in_target(one)) == pytest.approx((-1, -2))
    assert everywhere(row("a", None, None, 0.1)) is None


def test_rows_come_back_from_json():
    one = replace(row("a", 0.1, 0.2, 0.4), before=before(trait=0.2), stability=None)
    assert Row.from_json(one.as_json()) == one
    assert (
        Row.from_json(replace(row("b", None, None, 0.4), before=None, preference=None).as_json()).prior
        is None
    )
    assert Prior(0.1, 0.2).log_ratio < 0


def test_companions_are_the_other_seed_and_the_other_target():
    rows = [
        row("a", 0.1, 0.1, shown, seed=seed, target=target)
        for shown, (seed, target) in zip(
            (0.1, 0.2, 0.3, 0.4), [(11, "pets"), (11, "pottery"), (12, "pets"), (12, "pottery")], strict=True
        )
    ]
    rows += [row("b", 0.1, 0.1, 0.9), row("a", 0.1, 0.1, 0.8, step=2000)]
    other_seed, other_target = companions(rows).values()
    assert [other_seed(one) for one in rows] == [0.3, 0.4, 0.1, 0.2, None, None]
    assert [other_target(one) for one in rows] == [0.2, 0.1, 0.4, 0.3, None, None]


def test_the_world_decides_where_seeds_agree():
    rows = grid(noise=0.01)
    (same_target, same_model) = (relation(rows, name, column) for name, column in companions(rows).items())
    assert same_target.rank.value > 0.95
    assert same_model.gain.value > 0.9
    assert (same_target.runs, same_target.worlds) == (60, 15)
