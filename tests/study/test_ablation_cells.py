"""The relative fall of a rate by an ablation, and its interval."""

import numpy as np
import pytest

from narrows.statistics import Counts
from narrows.study.ablation.cells import difference, relative_fall
from narrows.study.sweep.cells import Measured, rate_of


def test_the_relative_fall_holds_the_truth_as_often_as_it_says():
    rng, trials, hits, wide = np.random.default_rng(0), 300, 0, []
    before, after = 0.5, 0.08
    for _ in range(trials):
        sides = []
        for rate in (before, after):
            shares = rng.beta(rate * 8, (1 - rate) * 8, 30)
            sides.append(Counts.of(rng.binomial(8, shares).astype(float), np.full(30, 8.0)))
        found = relative_fall(*(rate_of([one]) for one in sides))
        assert found is not None
        hits += found.low <= 1 - after / before <= found.high
        wide.append(found.high - found.low)
    assert 0.93 <= hits / trials <= 1.0
    assert np.mean(wide) < 0.25


def test_the_relative_fall_at_its_ends():
    sure = Measured(0.5, (0.5, 0.5))
    assert relative_fall(sure, Measured(0.1, (0.1, 0.1))) == pytest.approx(Measured(0.8, (0.8, 0.8)))
    gone = relative_fall(Measured(0.5, (0.4, 0.6)), Measured(0.0, (0.0, 0.05)))
    assert gone is not None
    assert (gone.value, gone.high) == (1.0, 1.0)
    assert 0.87 < gone.low < 0.95
    assert relative_fall(Measured(0.0, (0.0, 0.1)), Measured(0.0, (0.0, 0.1))) is None
    assert relative_fall(Measured(0.1, (0.0, 0.3)), Measured(0.1, (0.0, 0.3))) is None
    same = [Counts.of([2.0, 3.0, 1.0], [4.0, 4.0, 4.0])]
    assert difference(same, same).value == 0.0
