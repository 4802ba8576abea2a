"""Thresholds from benign runs: the rate is that of whole runs, also with several directions."""

import numpy as np
import pytest
from monitoring_helpers import looks

from narrows.errors import ConfigError, DataError
from narrows.geometry.monitoring import Calibration, Look


def test_a_run_s_score_is_its_largest_look_and_the_threshold_the_largest_of_twenty():
    runs = {f"run-{place}": looks(0.0, place / 10, -1.0) for place in range(20)}
    found = Calibration.of(runs, 0.05)
    assert found.threshold == found.scores[19] == 1.9
    assert found.scores[0] == 0.0
    assert found.last_step == 10
    assert found.score(Look(5, {"watched": 1.5})) == 1.5


def test_runs_that_only_move_away_do_not_put_the_threshold_below_the_start():
    found = Calibration.of({str(run): looks(0.0, -1.0, -2.0) for run in range(4)}, 0.2)
    assert found.threshold == 0.0
    away = {
        str(run): [Look(0, {"a": 0.0, "b": 0.0}), Look(5, {"a": -1.0 - run, "b": run**2})] for run in range(4)
    }
    both = Calibration.of(away, 0.2)
    assert both.score(Look(0, {"a": 0.0, "b": 0.0})) <= both.threshold


def test_too_few_runs_empty_ones_and_other_directions_are_refused():
    few = {str(run): looks(0.0, 1.0) for run in range(5)}
    with pytest.raises(ConfigError, match="needs 19 benign scores, and there are 5"):
        Calibration.of(few, 0.05)
    with pytest.raises(DataError, match="benign run empty"):
        Calibration.of({**few, "empty": []}, 0.5)
    with pytest.raises(ConfigError, match="different directions"):
        Calibration.of({**few, "other": looks(0.0, 1.0, name="other")}, 0.5)
    with pytest.raises(DataError, match="needs benign runs"):
        Calibration.of({}, 0.5)
    flat = {str(run): [Look(0, {"a": float(run), "b": 0.0})] for run in range(5)}
    with pytest.raises(ConfigError, match="same projection on b"):
        Calibration.of(flat, 0.5)


def test_with_several_directions_the_rate_of_new_runs_is_the_stated_one():
    rng = np.random.default_rng(0)
    draws, alarms = 1000, 0
    for _ in range(draws):
        values = rng.normal(size=(21, 3)) * [1.0, 10.0, 100.0]
        runs = {
            str(at): [Look(0, dict(zip("abc", row, strict=True)))] for at, row in enumerate(values.tolist())
        }
        new = runs.pop("20")
        found = Calibration.of(runs, 0.05)
        alarms += found.score(new[0]) > found.threshold
    assert 0.025 < alarms / draws < 0.065


def test_a_small_direction_is_seen_beside_a_large_one():
    rng = np.random.default_rng(1)
    runs = {
        str(at): [Look(0, {"small": float(rng.normal()), "large": float(rng.normal(0, 100))})]
        for at in range(20)
    }
    found = Calibration.of(runs, 0.05)
    assert found.score(Look(0, {"small": 12.0, "large": 0.0})) > found.threshold
    assert found.score(Look(0, {"small": 0.0, "large": 12.0})) < found.threshold


def test_a_calibration_is_the_same_after_json():
    found = Calibration.of({str(run): looks(0.0, float(run)) for run in range(4)}, 0.25)
    assert Calibration.from_json(found.to_json()) == found
