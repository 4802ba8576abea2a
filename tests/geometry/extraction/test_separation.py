"""AUROC against sklearn's, and its interval by simulation."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from narrows.errors import DataError
from narrows.geometry.extraction import auroc


@pytest.mark.parametrize("seed", range(5))
def test_the_value_is_sklearns_with_ties(seed: int) -> None:
    rng = np.random.default_rng(seed)
    positive, negative = rng.integers(1, 7, 23).astype(float), rng.integers(0, 6, 31).astype(float)
    found = auroc(positive, negative, list(range(23)), list(range(31)))
    labels = np.repeat([1, 0], [23, 31])
    assert found.value == pytest.approx(roc_auc_score(labels, np.concatenate([positive, negative])))
    assert 0 < found.low < found.value < found.high < 1
    turned = auroc(-positive, -negative, list(range(23)), list(range(31)))
    assert (turned.low, turned.high) == pytest.approx((1 - found.high, 1 - found.low))


def test_perfect_separation_is_not_certain_and_more_rows_say_more() -> None:
    ends = [auroc(np.arange(n) + 500.0, np.arange(n), list(range(n)), list(range(n))) for n in (4, 20, 200)]
    assert all(one.value == one.high == 1 for one in ends)
    lows = [one.low for one in ends]
    assert lows == sorted(lows) and 0.25 < lows[0] < 0.8 < lows[1] < lows[2] < 0.999


def test_one_row_fifty_times_is_not_fifty_rows() -> None:
    rng = np.random.default_rng(0)
    positive, negative = rng.normal(1, 1, 10), rng.normal(0, 1, 10)
    alone = auroc(positive, negative, list(range(10)), list(range(10)))
    names = np.repeat(np.arange(10), 50).tolist()
    repeated = auroc(np.repeat(positive, 50), np.repeat(negative, 50), names, names)
    believed = auroc(np.repeat(positive, 50), np.repeat(negative, 50), list(range(500)), list(range(500)))
    assert repeated.value == pytest.approx(alone.value)
    assert repeated.high - repeated.low > 0.7 * (alone.high - alone.low)
    assert believed.high - believed.low < 0.4 * (alone.high - alone.low)


def test_one_cluster_says_nothing() -> None:
    found = auroc([1.0, 2.0], [0.0], ["q", "q"], ["q"])
    assert (found.value, found.low, found.high, found.clusters) == (1.0, 0.0, 1.0, 1)


@pytest.mark.parametrize(("k", "size", "correlation"), [(8, 10, 0.3), (20, 1, 0.0), (20, 10, 0.3)])
@pytest.mark.parametrize("wanted", [0.5, 0.8, 0.95])
def test_coverage(k: int, size: int, correlation: float, wanted: float) -> None:
    rng = np.random.default_rng(k * size)
    shift = norm.ppf(wanted) * np.sqrt(2)
    clusters = np.repeat(np.arange(k), size)
    hits = 0
    for _ in range(150):
        sides = [
            (rng.normal(size=k) * np.sqrt(correlation))[clusters]
            + rng.normal(size=k * size) * np.sqrt(1 - correlation)
            for _ in range(2)
        ]
        found = auroc(sides[0] + shift, sides[1], clusters.tolist(), (clusters + k).tolist())
        hits += found.low <= wanted <= found.high
    assert hits / 150 >= 0.91  # 95 % less two standard errors


def test_what_cannot_be_ranked_is_refused() -> None:
    with pytest.raises(DataError, match="finite numbers on both sides"):
        auroc([1.0], [], ["a"], [])
    with pytest.raises(DataError, match="finite numbers on both sides"):
        auroc([1.0], [float("nan")], ["a"], ["b"])
