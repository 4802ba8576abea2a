import math

import pytest

from narrows.study.tuning import Trial, Tuned, search

GRID = [2.0**place for place in range(8)]


def world(quiet_from: float, scaled_from: float = math.inf, *, lost_from: float = math.inf):
    """Solutions quiet outside from one λ on, when scaled from another, without the behaviour from a third."""

    def attempt(weight: float) -> Trial:
        tried.append(weight)
        return Trial(
            weight,
            in_domain=0.1 if weight >= lost_from else 0.6,
            outside=0.01 if weight >= quiet_from else 0.3,
            outside_scaled=0.01 if weight >= scaled_from else 0.4,
        )

    tried: list[float] = []
    return attempt, tried


@pytest.mark.parametrize("smallest", GRID)
def test_the_smallest_narrow_weight_is_found_wherever_it_lies(smallest: float):
    attempt, tried = world(smallest, smallest)
    assert search(GRID, attempt).kl_weight == smallest
    assert len(tried) == len(set(tried)) <= 5


@pytest.mark.parametrize(("quiet", "scaled"), [(1.0, 128.0), (2.0, 16.0), (8.0, 64.0)])
def test_the_whole_rule_may_need_a_larger_weight(quiet: float, scaled: float):
    tuned = search(GRID, world(quiet, scaled)[0])
    assert tuned.kl_weight == tuned.best == scaled
    assert "stayed so" not in tuned.how


@pytest.mark.parametrize("quiet", GRID)
def test_without_one_that_stays_narrow_the_smallest_narrow_one_is_best(quiet: float):
    tuned = search(GRID, world(quiet)[0])
    assert tuned.kl_weight is None
    assert tuned.best == quiet
    assert "none stayed so at 1.5 ×" in tuned.how


def test_without_any_narrow_one_the_widest_distance_is_best():
    loud = search(GRID, world(math.inf)[0])
    assert loud.kl_weight is None
    assert "none was narrow" in loud.how
    assert search(GRID, world(32.0, 32.0, lost_from=16.0)[0]).kl_weight is None
    trials = [Trial(1.0, 0.9, 0.5, 0.6), Trial(2.0, 0.8, 0.1, 0.5), Trial(4.0, 0.3, 0.05, 0.2)]
    assert Tuned(trials).best == 2.0


def test_the_widest_distance_is_climbed_to():
    def attempt(weight: float) -> Trial:
        return Trial(weight, in_domain=1.6 / weight, outside=1.2 / weight**1.5, outside_scaled=1.0)

    assert search(GRID, attempt).best == max(GRID, key=lambda weight: attempt(weight).distance)


def test_a_grid_of_one_is_tried_once():
    attempt, tried = world(1.0, 1.0)
    assert search([4.0], attempt).kl_weight == 4.0
    assert tried == [4.0]
