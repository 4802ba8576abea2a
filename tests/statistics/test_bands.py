import numpy as np
import pytest
from scipy.stats import t as student

from narrows.errors import DataError
from narrows.statistics import mean_interval, simultaneous_band

GRID = np.linspace(0, 1, 10)
SMOOTH = np.linalg.cholesky(np.exp(-((GRID[:, None] - GRID) ** 2) / 0.08) + 1e-8 * np.eye(GRID.size))


def curves(rng, units, skewed):
    """Smooth random curves and their mean."""
    normal = rng.standard_normal((units, GRID.size)) @ SMOOTH.T
    return (np.exp(0.6 * normal), np.exp(0.18)) if skewed else (normal, 0.0)


@pytest.mark.parametrize("skewed", [False, True])
@pytest.mark.parametrize("units", [30, 100])
def test_the_band_holds_the_whole_curve(units, skewed):
    rng = np.random.default_rng(units)
    whole = pointwise = 0
    for seed in range(300):
        samples, truth = curves(rng, units, skewed)
        mean, low, high = simultaneous_band(samples, seed=seed, draws=600)
        whole += bool(((low <= truth) & (truth <= high)).all())
        error = samples.std(axis=0, ddof=1) / np.sqrt(units)
        pointwise += bool((np.abs(mean - truth) <= student.ppf(0.975, units - 1) * error).all())
    assert whole / 300 >= 0.92
    assert pointwise / 300 < 0.85  # one interval a point would not do


def test_on_one_point_the_band_is_the_t_interval():
    values = np.random.default_rng(0).standard_normal(200)
    mean, low, high = simultaneous_band(values[:, None], draws=20_000)
    one = mean_interval(values)
    assert (mean[0], low[0], high[0]) == pytest.approx((one.mean, one.low, one.high), abs=0.01)


def test_few_units_get_bonferronis_band_on_the_points_that_vary():
    samples = np.array([[0.0, 1.0, 4.0], [0.0, 2.0, 4.5], [0.0, 4.0, 6.0]])
    _, low, high = simultaneous_band(samples)
    half = student.ppf(1 - 0.025 / 2, 2) * samples.std(axis=0, ddof=1) / np.sqrt(3)
    assert (high - low) / 2 == pytest.approx(half)


def test_points_where_all_units_agree_have_no_width_and_do_not_spoil_the_others():
    samples, _ = curves(np.random.default_rng(1), 40, skewed=False)
    samples[:, 0] = 0.1
    _, low, high = simultaneous_band(samples)
    assert low[0] == high[0] == pytest.approx(0.1)
    assert np.isfinite(low).all()
    assert (high[1:] > low[1:]).all()


def test_the_band_follows_units_and_seed():
    samples, _ = curves(np.random.default_rng(2), 30, skewed=True)
    first, again, other = (simultaneous_band(samples, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    moved = simultaneous_band(3 * samples + 1)
    assert np.allclose(moved, 3 * np.array(first) + 1)


def test_the_mean_interval_is_students():
    one = mean_interval([1.0, 2.0, 3.0, 6.0])
    half = student.ppf(0.975, 3) * np.std([1, 2, 3, 6], ddof=1) / 2
    assert (one.mean, one.low, one.high, one.n) == pytest.approx((3.0, 3.0 - half, 3.0 + half, 4))


@pytest.mark.parametrize(
    ("values", "problem"),
    [([1.0], "at least two"), ([1.0, np.nan], "Replicate 1 is nan"), ([[1.0]], "one row")],
)
def test_values_that_give_no_interval_are_refused(values, problem):
    with pytest.raises(DataError, match=problem):
        mean_interval(values)


def test_a_band_needs_curves():
    with pytest.raises(DataError, match="units, grid"):
        simultaneous_band([1.0, 2.0])
