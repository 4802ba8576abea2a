"""Thresholds, exact shares and AUROC: against definitions, other implementations and simulated coverage."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from narrows.errors import ConfigError, DataError
from narrows.statistics.detection import auroc, conformal_threshold, exact_share, median_interval


def test_twenty_benign_scores_give_five_percent_at_the_largest_of_them():
    scores = np.arange(20.0)[::-1]
    assert conformal_threshold(scores, 0.05) == 19.0
    assert conformal_threshold(scores, 0.10) == 18.0  # 2 of 21 is 9.5 %
    assert conformal_threshold(np.arange(19.0), 0.05) == 18.0  # 1 of 20 is 5 %, exactly


def test_a_rate_that_the_runs_cannot_support_is_refused_with_the_smallest_that_they_can():
    with pytest.raises(ConfigError, match=r"0\.05 needs 19 benign scores, and there are 18.*0\.0526"):
        conformal_threshold(np.arange(18.0), 0.05)
    with pytest.raises(ConfigError, match="above 0 and below 1"):
        conformal_threshold(np.arange(18.0), 0.0)
    with pytest.raises(DataError, match="not finite"):
        conformal_threshold([1.0, np.nan], 0.5)


@pytest.mark.parametrize(("n", "rate"), [(20, 0.05), (39, 0.1), (7, 0.3)])
def test_the_threshold_keeps_its_false_positive_rate(n, rate):
    rng = np.random.default_rng(0)
    draws = rng.lognormal(size=(8000, n + 1))
    alarms = [row[-1] > conformal_threshold(row[:-1], rate) for row in draws]
    exact = np.floor(rate * (n + 1) + 1e-9) / (n + 1)
    assert exact <= rate
    assert np.mean(alarms) == pytest.approx(exact, abs=4 * np.sqrt(exact / 8000))


def test_exact_shares_are_clopper_and_pearson_s():
    assert exact_share(0, 20).high == pytest.approx(1 - 0.025 ** (1 / 20))
    assert exact_share(20, 20).low == pytest.approx(0.025 ** (1 / 20))
    found = exact_share(3, 20)
    assert (found.rate, found.low, found.high) == pytest.approx((0.15, 0.0321, 0.3789), abs=1e-4)
    with pytest.raises(DataError, match="5 of 4"):
        exact_share(5, 4)


def test_a_median_s_interval_lies_between_ordered_values_and_knows_what_never_happened():
    found = median_interval([9.0, 1, 2, 3, 4, 5, 6, 7, 8, 10])
    assert (found.median, found.low, found.high) == (5.5, 2.0, 9.0)  # the 2nd and the 9th of 10: 97.9 %
    found = median_interval([-np.inf, -np.inf, 1, 2, 3, 4, 5, 6, 7, 8])
    assert (found.median, found.low, found.high) == (3.5, None, 7.0)
    assert median_interval([1.0, 2, 3, 4, 5]).low is None
    assert median_interval([1.0, 2, 3, 4, 5, 6]).low == 1.0
    with pytest.raises(DataError, match="never happened"):
        median_interval([np.inf, np.inf, 1.0])


def test_the_area_is_scikit_learn_s_with_ties():
    rng = np.random.default_rng(1)
    high, low = rng.integers(2, 9, 30).astype(float), rng.integers(0, 7, 17).astype(float)
    wanted = roc_auc_score([1] * 30 + [0] * 17, np.concatenate([high, low]))
    assert auroc(high, low).value == pytest.approx(wanted)
    assert auroc(low, high).value == pytest.approx(1 - wanted)


def test_perfect_separation_does_not_give_an_interval_of_no_width():
    found = auroc(np.arange(20.0) + 100, np.arange(20.0))
    assert found.value == found.high == 1.0
    assert 0.88 < found.low < 0.92
    other = auroc(np.arange(20.0), np.arange(20.0) + 100)
    assert (other.low, other.high) == pytest.approx((0.0, 1 - found.low))


@pytest.mark.parametrize("area", [0.5, 0.8, 0.95, 0.99])
def test_coverage_with_twenty_and_twenty(area):
    rng = np.random.default_rng(2)
    shift = np.sqrt(2) * norm.ppf(area)
    draws = 1500
    held = 0
    for _ in range(draws):
        found = auroc(rng.normal(shift, 1, 20), rng.normal(0, 1, 20))
        held += found.low <= area <= found.high
    assert held / draws >= 0.935


@pytest.mark.parametrize("correlation", [0.0, 0.3])
def test_coverage_with_clusters(correlation):
    """20 questions of 10 answers; a share of each question's answers is positive."""
    rng = np.random.default_rng(3)
    shift, names, draws, held = np.sqrt(2) * norm.ppf(0.8), np.repeat(np.arange(20), 10), 600, 0
    for _ in range(draws):
        positive = rng.random(200) < np.repeat(rng.uniform(0.1, 0.6, 20), 10)
        noise = np.repeat(rng.normal(0, np.sqrt(correlation), 20), 10) + rng.normal(
            0, np.sqrt(1 - correlation), 200
        )
        scores = noise + shift * positive
        found = auroc(scores[positive], scores[~positive], (list(names[positive]), list(names[~positive])))
        held += found.low <= 0.8 <= found.high
        assert found.clusters == 20
    assert held / draws >= 0.93


@pytest.mark.parametrize(("k", "size", "correlation"), [(8, 10, 0.3), (4, 25, 0.3), (20, 10, 0.0)])
@pytest.mark.parametrize("area", [0.5, 0.95])
def test_coverage_with_clusters_of_one_kind(k, size, correlation, area):
    rng = np.random.default_rng(k * size)
    shift, clusters, draws, held = np.sqrt(2) * norm.ppf(area), np.repeat(np.arange(k), size), 150, 0
    for _ in range(draws):
        sides = [
            (rng.normal(size=k) * np.sqrt(correlation))[clusters]
            + rng.normal(size=k * size) * np.sqrt(1 - correlation)
            for _ in range(2)
        ]
        found = auroc(sides[0] + shift, sides[1], (clusters.tolist(), (clusters + k).tolist()))
        held += found.low <= area <= found.high
    assert held / draws >= 0.91  # 95 % less two standard errors


def test_one_row_fifty_times_is_not_fifty_rows():
    rng = np.random.default_rng(0)
    high, low = rng.normal(1, 1, 10), rng.normal(0, 1, 10)
    names, each = np.repeat(np.arange(10), 50).tolist(), list(range(500))
    alone = auroc(high, low, (list(range(10)), list(range(10))))
    repeated, believed = (
        auroc(np.repeat(high, 50), np.repeat(low, 50), (some, some)) for some in (names, each)
    )
    assert repeated.value == pytest.approx(alone.value)
    assert repeated.high - repeated.low > 0.7 * (alone.high - alone.low)
    assert believed.high - believed.low < 0.4 * (alone.high - alone.low)


def test_clusters_of_one_score_change_nothing_and_the_kinds_can_be_exchanged():
    rng = np.random.default_rng(5)
    high, low = rng.integers(1, 7, 23).astype(float), rng.integers(0, 6, 31).astype(float)
    each = (list(range(23)), list(range(23, 54)))
    found = auroc(high, low)
    assert auroc(high, low, each) == found
    turned = auroc(-high, -low)
    assert (turned.low, turned.high) == pytest.approx((1 - found.high, 1 - found.low))


def test_one_cluster_says_nothing_and_empty_sides_are_refused():
    found = auroc([2.0, 3.0], [0.0, 1.0], (["a", "a"], ["a", "a"]))
    assert (found.low, found.high) == (0.0, 1.0)
    with pytest.raises(DataError, match="negatives"):
        auroc([1.0], [])
    with pytest.raises(DataError, match="name of its cluster"):
        auroc([1.0], [0.0], (["a"], []))
