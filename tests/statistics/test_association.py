import numpy as np
import pytest
from scipy.special import stdtrit
from scipy.stats import spearmanr
from sklearn.metrics import cohen_kappa_score

from narrows.statistics import clustered_rate
from narrows.statistics.association import Clustering, clustered_kappa, clustered_mean, clustered_spearman


def lone(n):
    """Every value is its own cluster."""
    return Clustering(range(n))


def clusters_of(k, size):
    return Clustering(np.repeat(np.arange(k), size).tolist())


def two_measurements(rng, k, size, noise):
    """The same things measured twice; both measurements have errors that a cluster shares."""
    common = rng.normal(size=(k, 1)) + rng.normal(size=(k, size))
    x, y = (common + noise * (0.5 * rng.normal(size=(k, 1)) + rng.normal(size=(k, size))) for _ in range(2))
    return x.ravel(), y.ravel()


def test_the_estimates_are_the_textbooks():
    x = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    y = np.array([2.0, 1.0, 4.0, 3.0, 5.0])
    assert clustered_spearman(x, y, lone(5)).value == pytest.approx(1 - 6 * 4 / (5 * 24))
    # 20 both yes, 15 both no, 5 and 10 apart: observed .7, by chance .5
    a, b = (np.repeat(pattern, [20, 15, 5, 10]) for pattern in ([1.0, 0, 1, 0], [1.0, 0, 0, 1]))
    assert clustered_kappa(a, b, lone(50)).value == pytest.approx(0.4)
    assert clustered_mean(y - x, lone(5)).value == pytest.approx(0.0)


def test_kappa_without_each_cluster_is_kappa_of_the_others():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 2, (2, 30)).astype(float)
    wanted = [
        cohen_kappa_score(np.delete(x, range(i, i + 5)), np.delete(y, range(i, i + 5)))
        for i in range(0, 30, 5)
    ]
    half = stdtrit(5, 0.975) * np.sqrt(5 / 6 * ((wanted - np.mean(wanted)) ** 2).sum())
    one = clustered_kappa(x, y, clusters_of(6, 5))
    assert one.low <= one.value - half + 1e-12
    assert one.high >= one.value + half - 1e-12
    assert min(one.value - half - one.low, one.high - one.value - half) == pytest.approx(0, abs=1e-9)


def test_the_mean_of_lone_values_has_students_interval():
    values = np.random.default_rng(0).normal(size=12)
    one = clustered_mean(values, lone(12))
    assert one.high - one.value == pytest.approx(stdtrit(11, 0.975) * values.std(ddof=1) / np.sqrt(12))


def test_values_that_repeat_their_cluster_add_nothing():
    x, y = two_measurements(np.random.default_rng(0), 12, 1, 0.5)
    many = [np.repeat(values, 10) for values in (x, y)]
    alone, copied = clustered_spearman(x, y, lone(12)), clustered_spearman(*many, clusters_of(12, 10))
    assert (copied.low, copied.high) == pytest.approx((alone.low, alone.high), abs=0.03)
    alone, copied = clustered_mean(y - x, lone(12)), clustered_mean(many[1] - many[0], clusters_of(12, 10))
    assert (copied.low, copied.high) == pytest.approx((alone.low, alone.high))


@pytest.mark.parametrize(("k", "size"), [(8, 30), (24, 5)])
def test_the_intervals_cover(k, size):
    rng = np.random.default_rng(3)
    x, y = two_measurements(rng, 5_000, 20, 0.6)
    rho, kappa = spearmanr(x, y).statistic, cohen_kappa_score(x > 1, y > 1)
    covered = []
    for _ in range(100):
        x, y = two_measurements(rng, k, size, 0.6)
        one, other = (
            clustered_spearman(x, y, clusters_of(k, size)),
            clustered_kappa((x > 1) * 1.0, (y > 1) * 1.0, clusters_of(k, size)),
        )
        mean = clustered_mean(y - x, clusters_of(k, size))
        covered.append(
            (one.low <= rho <= one.high, other.low <= kappa <= other.high, mean.low <= 0 <= mean.high)
        )
    assert (np.mean(covered, axis=0) >= 0.9).all()


def test_an_interval_that_ignores_clusters_fails_the_same_simulation():
    rng = np.random.default_rng(3)
    covered = []
    for _ in range(100):
        x, y = two_measurements(rng, 8, 30, 0.6)
        mean = clustered_mean(y - x, lone(240))
        covered.append(mean.low <= 0 <= mean.high)
    assert np.mean(covered) < 0.7


def test_perfect_agreement_in_a_few_clusters_is_not_certain():
    x = np.tile([1.0, 0.0], 40)
    one = clustered_kappa(x, x, clusters_of(8, 10))
    assert (one.value, one.high) == (1.0, 1.0)
    assert one.low == pytest.approx(1 - clustered_rate([0] * 8, [10] * 8).high / 0.5)


def test_what_is_not_defined_is_none_and_never_nan():
    same, other = np.ones(6), np.arange(6.0)
    assert clustered_spearman(same, other, lone(6)) is None
    assert clustered_kappa(same, same, lone(6)) is None
    assert clustered_kappa(same, 1 - same, lone(6)).value == 0
    perfect = clustered_spearman(other, other**3, lone(6))
    assert (perfect.value, perfect.low, perfect.high) == (pytest.approx(1.0), None, None)
    nothing = np.array([])
    assert clustered_spearman(nothing, nothing, lone(0)) is None
    assert clustered_kappa(nothing, nothing, lone(0)) is None
    assert clustered_mean(nothing, lone(0)) is None
    few = clustered_spearman(
        np.array([1.0, 2.0, 3.0, 4.0]), np.array([2.0, 1.0, 4.0, 3.0]), clusters_of(2, 2)
    )
    assert few.low is None
    assert clustered_mean(other, clusters_of(1, 6)).low is None
