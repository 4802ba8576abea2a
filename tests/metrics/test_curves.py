import numpy as np
import pytest

from narrows.errors import DataError
from narrows.metrics import Curve
from narrows.statistics import simultaneous_band

GRID = np.array([0.5, 1.0, 1.5])


def units(seed: int, count: int = 30) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 3))


def test_a_difference_pairs_the_units():
    common = 10 * units(0)  # large, and the same in both curves
    left = Curve.of("left", GRID, common + 1 + 0.1 * units(1))
    right = Curve.of("right", GRID, common + 0.1 * units(2))
    found = left.minus(right)
    np.testing.assert_allclose(found.samples, left.samples - right.samples)
    assert found.name == "left − right"
    assert ((found.low > 0.8) & (found.high < 1.2)).all()  # unpaired, the band would be 10 wide
    shuffled = left.minus(Curve.of("right", GRID, right.samples[::-1]))
    assert (shuffled.high - shuffled.low > 5).all()


def test_a_difference_with_itself_is_zero_without_width():
    curve = Curve.of("one", GRID, units(0))
    found = curve.minus(curve)
    assert not found.mean.any()
    assert not found.low.any()
    assert not found.high.any()


def test_points_can_be_selected_and_the_band_is_then_simultaneous_over_them_alone():
    left, right = Curve.of("left", GRID, units(1)), Curve.of("right", GRID, units(2))
    some = left.minus(right, np.array([0.5, 1.5]))
    assert some.grid.tolist() == [0.5, 1.5]
    mean, low, high = simultaneous_band((left.samples - right.samples)[:, [0, 2]])
    for found, wanted in ((some.mean, mean), (some.low, low), (some.high, high)):
        np.testing.assert_array_equal(found, wanted)
    every = left.minus(right)
    np.testing.assert_array_equal(every.mean[[0, 2]], some.mean)
    assert (some.high - some.low < (every.high - every.low)[[0, 2]]).all()


def test_a_point_that_was_not_measured_is_an_error_and_rounding_is_none():
    left, right = Curve.of("left", GRID, units(1)), Curve.of("right", GRID * (1 + 1e-7), units(2))
    assert left.minus(right, GRID[:2] * (1 - 1e-7)).grid.tolist() == [0.5, 1.0]
    with pytest.raises(DataError, match=r"nothing was measured at \[2\.0\]"):
        left.minus(right, np.array([0.5, 2.0]))


@pytest.mark.parametrize(
    "other",
    [
        Curve.of("other", GRID, units(0, 29)),
        Curve.of("other", GRID + 0.1, units(0)),
        Curve.of("other", GRID[:2], units(0)[:, :2]),
    ],
    ids=["units", "points", "count"],
)
def test_curves_of_other_units_or_points_cannot_be_subtracted(other: Curve):
    with pytest.raises(DataError, match=r"one − other.*same units at the same points"):
        Curve.of("one", GRID, units(1)).minus(other)


def test_samples_that_are_not_numbers_or_do_not_fit_the_grid_are_refused():
    broken = units(0)
    broken[4, 1] = np.nan
    with pytest.raises(DataError, match="Replicate 4 is nan"):
        Curve.of("broken", GRID, broken)
    with pytest.raises(DataError, match=r"'wide' has samples of shape \(30, 3\) at 2 points"):
        Curve.of("wide", GRID[:2], units(0))
