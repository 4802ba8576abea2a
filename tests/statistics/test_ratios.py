import math

import numpy as np
import pytest

from narrows.errors import DataError
from narrows.statistics import Counts, macro_difference, macro_rate, macro_ratio


def strata(*rates: float, clusters: int = 20, size: int = 16, rng: np.random.Generator | None = None):
    """Suites of a rate each; with a generator, drawn with clusters that differ."""
    found = []
    for rate in rates:
        trials = np.full(clusters, size)
        if rng is None:
            events = np.full(clusters, rate * size)
        else:
            strength = 1 / 0.1 - 1  # an intra-cluster correlation of .1
            events = rng.binomial(size, rng.beta(rate * strength, (1 - rate) * strength, clusters))
        found.append(Counts.of(events, trials))
    return found


def test_the_ratio_is_that_of_the_macro_rates():
    found = macro_ratio(strata(0.1, 0.2), strata(0.4, 0.6))
    assert found.ratio == pytest.approx(0.15 / 0.5)
    assert found.low < found.ratio < found.high
    assert found.clusters == 40


def contrast(a: list[Counts], b: list[Counts], factor: float) -> tuple[float, float]:
    """The ends of a − factor · b from the rates' own intervals, without correlation (MOVER)."""
    left, right = macro_rate(a), macro_rate(b)
    estimate = left.rate - factor * right.rate
    low = math.hypot(left.rate - left.low, factor * (right.high - right.rate))
    high = math.hypot(left.high - left.rate, factor * (right.rate - right.low))
    return estimate - low, estimate + high


@pytest.mark.parametrize(("above", "below"), [((0.1, 0.2), (0.5, 0.5)), ((0.3,), (0.1,)), ((0.0,), (0.4,))])
def test_its_ends_are_where_the_contrast_s_interval_touches_0(above, below):
    # Rates that are the same in every cluster, but for rounding, have no correlation.
    a, b = strata(*above), strata(*below)
    found = macro_ratio(a, b)
    assert contrast(a, b, found.low)[0] == pytest.approx(0, abs=1e-9)
    assert contrast(a, b, found.high)[1] == pytest.approx(0, abs=1e-9)


def test_it_lies_below_1_exactly_where_the_difference_lies_below_0():
    rng = np.random.default_rng(0)
    verdicts = set()
    for _ in range(300):
        b = strata(0.3, 0.2, clusters=8, rng=rng)
        # Half of the clusters' answers stay as they were, so that the two are correlated.
        a = [Counts.of(rng.binomial(one.events.astype(int), rng.choice([0.5, 0.9])), one.trials) for one in b]
        if not all(one.events.any() for one in b):
            continue
        ratio, difference = macro_ratio(a, b), macro_difference(a, b)
        assert (ratio.high < 1) == (difference.high < 0)
        assert (ratio.low < 1) == (difference.low < 0)
        verdicts.add(ratio.high < 1)
    assert verdicts == {True, False}


def test_no_event_above_the_line_is_a_ratio_of_0_with_room_above_it():
    found = macro_ratio(strata(0.0, 0.0), strata(0.4, 0.4))
    assert (found.ratio, found.low) == (0.0, 0.0)
    assert 0.01 < found.high < 0.2


def test_a_rate_below_the_line_that_may_be_0_gives_no_upper_end():
    b = [Counts.of([1], [4])]  # one cluster says nothing about others
    assert macro_ratio(strata(0.5, clusters=1), b).high == math.inf


@pytest.mark.parametrize("clusters", [8, 40])
@pytest.mark.parametrize(("above", "below"), [((0.02, 0.05, 0.1), (0.3, 0.5, 0.6)), ((0.4,), (0.5,))])
def test_it_covers_the_ratio(above, below, clusters):
    rng = np.random.default_rng(1)
    truth = np.mean(above) / np.mean(below)
    found = [
        macro_ratio(strata(*above, clusters=clusters, rng=rng), strata(*below, clusters=clusters, rng=rng))
        for _ in range(400)
    ]
    assert np.mean([one.low <= truth <= one.high for one in found]) >= 0.93


def test_what_has_no_ratio_is_refused():
    with pytest.raises(DataError, match="the same suites"):
        macro_ratio(strata(0.1), strata(0.1, 0.1))
    with pytest.raises(DataError, match="no event below the line"):
        macro_ratio(strata(0.1), strata(0.0))
