"""Cosines between directions, and what chance does."""

import numpy as np
import pytest
import torch
from scipy.stats import t as student

from narrows.adapters import Direction
from narrows.errors import AdapterError, ConfigError
from narrows.geometry.comparison import (
    Subspace,
    cosine_table,
    group_cosines,
    projection,
    random_cosine_limit,
    random_share_limit,
    random_units,
    share_within,
)

WIDTH = 16


def direction(seed: int, name: str = "", layer: int = 2, near: Direction | None = None) -> Direction:
    """A random direction, or one near another."""
    vector = torch.randn(WIDTH, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    if near is not None:
        vector = near.unit.double() * 6 + vector
    return Direction.of(vector, layer, name or f"d{seed}")


def axis(place: int, length: float = 1.0, name: str = "axis") -> Direction:
    return Direction.of(torch.eye(WIDTH, dtype=torch.float64)[place] * length, 2, name)


def test_the_limit_is_exact_where_the_distribution_is_known_by_heart():
    # On a sphere in three dimensions the cosine is uniform; in four, the squared share of a plane is.
    assert random_cosine_limit(3) == pytest.approx(0.95, abs=1e-12)
    assert random_cosine_limit(3, 0.5) == pytest.approx(0.5, abs=1e-12)
    assert random_share_limit(4, 2) == pytest.approx(np.sqrt(0.95), abs=1e-12)


@pytest.mark.parametrize("hidden", [8, 128])
def test_the_limit_is_kept_by_random_directions(hidden):
    drawn = random_units(hidden, 20_000)
    np.testing.assert_allclose(np.linalg.norm(drawn, axis=1), 1.0)
    below = (np.abs(drawn[:, 0]) <= random_cosine_limit(hidden)).mean()
    inside = (np.linalg.norm(drawn[:, :3], axis=1) <= random_share_limit(hidden, 3)).mean()
    assert below == pytest.approx(0.95, abs=0.006)  # four standard errors
    assert inside == pytest.approx(0.95, abs=0.006)


def test_a_limit_without_meaning_is_refused():
    for arguments in ((4, 4), (4, 0), (4, 1, 1.0)):
        with pytest.raises(ConfigError, match="give 1 to 3 dimensions"):
            random_share_limit(*arguments)
    with pytest.raises(ConfigError, match="measured on another model"):
        random_units(4, 2, covariance=torch.eye(3))


def test_random_directions_with_a_covariance_point_where_it_is_large():
    covariance = torch.diag(torch.tensor([9.0, 1.0, 1.0, 1e-9], dtype=torch.float64))
    drawn = random_units(4, 4000, covariance=covariance)
    assert (drawn[:, 0] ** 2).mean() > 0.6
    assert (drawn[:, 3] ** 2).max() < 1e-6


def test_a_table_holds_the_fp64_cosines_and_both_limits():
    some = [direction(1), direction(2, layer=3), direction(3)]
    table = cosine_table(some)
    units = np.stack([one.unit.double().numpy() for one in some])
    np.testing.assert_allclose(table.cosines, units @ units.T, atol=1e-6)
    np.testing.assert_allclose(np.diag(table.cosines), 1.0, atol=1e-12)
    assert table.cosines[0, 1] == pytest.approx(some[0].cosine(some[1]), abs=1e-6)
    assert table.layers == (2, 3, 2)
    assert table.limit == random_cosine_limit(WIDTH)
    assert table.limit_all == random_cosine_limit(WIDTH, 1 - 0.05 / 3)


def test_a_direction_in_which_the_stream_varies_has_a_high_limit():
    covariance = torch.eye(WIDTH, dtype=torch.float64)
    covariance[0, 0] = 400.0
    table = cosine_table([axis(0), axis(1), axis(2)], covariances={2: covariance}, draws=500)
    limits = table.covariance_limits
    np.testing.assert_array_equal(limits, limits.T)
    assert limits[0, 1] > 0.99
    assert limits[1, 2] < 0.4


def test_the_isotropic_covariance_gives_the_exact_limit():
    table = cosine_table([axis(0), axis(1)], covariances={2: torch.eye(WIDTH)}, draws=20_000)
    assert table.covariance_limits[0, 1] == pytest.approx(table.limit, abs=0.012)


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ConfigError, match="two directions or more"):
        cosine_table([axis(0)])
    with pytest.raises(AdapterError, match="by effect"):
        cosine_table([axis(0), Direction.of(torch.ones(8), 2)])
    with pytest.raises(ConfigError, match="no covariance of layer 3"):
        cosine_table([direction(1), direction(2, layer=3)], covariances={2: torch.eye(WIDTH)})


def test_group_means_are_of_pairs_and_their_intervals_leave_out_one_direction_at_a_time():
    core = direction(0)
    some = [direction(seed, near=core) for seed in (1, 2, 3, 4)] + [direction(5), direction(6)]
    table = cosine_table(some)
    within, between, other = group_cosines(table, ["a"] * 4 + ["b"] * 2)
    assert [(one.first, one.second, one.pairs) for one in (within, between, other)] == [
        ("a", "a", 6), ("a", "b", 8), ("b", "b", 1),
    ]  # fmt: skip

    def mean(rows, columns=None):
        if columns is None:
            return np.mean([table.cosines[i, j] for i in rows for j in rows if i < j])
        return np.mean([table.cosines[i, j] for i in rows for j in columns])

    left_out = np.array([mean([i for i in range(4) if i != gone]) for gone in range(4)])
    error = np.sqrt(3 / 4 * ((left_out - left_out.mean()) ** 2).sum())
    assert within.mean == pytest.approx(mean(range(4)))
    assert within.ci95 == pytest.approx(
        (within.mean - student.ppf(0.975, 3) * error, min(1.0, within.mean + student.ppf(0.975, 3) * error))
    )
    rows = np.array([mean([i for i in range(4) if i != gone], [4, 5]) for gone in range(4)])
    columns = np.array([mean(range(4), [5]), mean(range(4), [4])])
    error = np.sqrt(
        3 / 4 * ((rows - rows.mean()) ** 2).sum() + 1 / 2 * ((columns - columns.mean()) ** 2).sum()
    )
    half = student.ppf(0.975, 1) * error
    assert between.ci95 == pytest.approx((max(-1, between.mean - half), min(1, between.mean + half)))
    assert other.ci95 is None
    assert (within.least, within.most) == (
        min(table.cosines[i, j] for i in range(4) for j in range(i)),
        max(table.cosines[i, j] for i in range(4) for j in range(i)),
    )
    with pytest.raises(ConfigError, match="2 groups for 6"):
        group_cosines(table, ["a", "b"])


def test_a_projection_is_in_the_streams_own_units():
    one = Direction.of(torch.tensor([3.0, 4.0] + [0.0] * (WIDTH - 2)), 2, "one")
    found = projection(one, axis(0, length=-2.0, name="other"))
    assert (found.name, found.onto) == ("one", "other")
    assert found.length == pytest.approx(-3.0)
    assert found.share == pytest.approx(-0.6)
    assert found.of_other == pytest.approx(-1.5)
    assert found.rest == pytest.approx(4.0)


def test_what_is_left_of_a_nearly_parallel_vector_keeps_its_digits():
    tilted = Direction.of(torch.tensor([1.0, 1e-5] + [0.0] * (WIDTH - 2), dtype=torch.float64), 2)
    assert projection(tilted, axis(0)).rest == pytest.approx(1e-5, rel=1e-5)


def test_the_share_within_a_subspace():
    one = Direction.of(torch.tensor([2.0, 1.0, 2.0] + [0.0] * (WIDTH - 3)), 2)
    assert share_within(one, Subspace.of([axis(0), axis(1)])) == pytest.approx(np.sqrt(5) / 3)
    assert share_within(axis(0), Subspace.of([axis(0), one])) == pytest.approx(1.0)
    with pytest.raises(AdapterError, match="different models"):
        share_within(Direction.of(torch.ones(4), 2), Subspace.of([axis(0)]))
