"""Thresholds from benign runs: the rate is that of whole runs, also by step and with several directions."""

import json

import numpy as np
import pytest
from monitoring_helpers import looks

from narrows.errors import ConfigError, DataError
from narrows.geometry.monitoring import Calibration, Look
from narrows.geometry.monitoring.band import BY


def test_a_run_s_score_is_its_largest_look_and_the_threshold_the_largest_of_twenty():
    runs = {f"run-{place}": looks(0.0, place / 10, -1.0) for place in range(20)}
    found = Calibration.of(runs, 0.05, "run")
    assert found.threshold == found.scores[19] == 1.9
    assert found.scores[0] == 0.0
    assert found.last_step == 10
    assert found.score(Look(5, {"watched": 1.5})) == 1.5


def test_runs_that_only_move_away_do_not_put_the_threshold_below_the_start():
    found = Calibration.of({str(run): looks(0.0, -1.0, -2.0) for run in range(4)}, 0.2, "run")
    assert found.threshold == 0.0
    away = {
        str(run): [Look(0, {"a": 0.0, "b": 0.0}), Look(5, {"a": -1.0 - run, "b": run**2})] for run in range(4)
    }
    for by in BY:
        both = Calibration.of(away, 0.2, by)
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
    with pytest.raises(ConfigError, match=r"2 of them in all: it needs 3"):
        Calibration.of({"0": few["0"], "1": few["1"]}, 0.5, "step")
    with pytest.raises(ConfigError, match="choose one of run, step"):
        Calibration.of(few, 0.5, "look")
    flat = {str(run): [Look(0, {"a": float(run), "b": 0.0})] for run in range(5)}
    with pytest.raises(ConfigError, match="same projection on b"):
        Calibration.of(flat, 0.5, "run")


def test_with_several_directions_the_rate_of_new_runs_is_the_stated_one():
    rng = np.random.default_rng(0)
    draws, alarms = 300, []
    for _ in range(draws):
        values = rng.normal(size=(25, 3)) * [1.0, 10.0, 100.0]
        runs = {
            str(at): [Look(0, dict(zip("abc", row, strict=True)))] for at, row in enumerate(values.tolist())
        }
        new = [runs.pop(str(at)) for at in range(20, 25)]
        found = Calibration.of(runs, 0.05, "run")
        alarms.append(np.mean([found.score(look) > found.threshold for (look,) in new]))
    assert 0.025 < np.mean(alarms) < 0.065


def test_a_small_direction_is_seen_beside_a_large_one():
    rng = np.random.default_rng(1)
    runs = {
        str(at): [Look(0, {"small": float(rng.normal()), "large": float(rng.normal(0, 100))})]
        for at in range(20)
    }
    found = Calibration.of(runs, 0.05, "run")
    assert found.score(Look(0, {"small": 12.0, "large": 0.0})) > found.threshold
    assert found.score(Look(0, {"small": 0.0, "large": 12.0})) < found.threshold


def drifting(
    rng: np.random.Generator, runs: int, directions: int = 1, *, speed: float = 1.0, wander: float = 1.0
) -> list[list[Look]]:
    """Runs that drift upwards to some end, each to its own, and wander like a random walk: 12 looks."""
    gone = np.minimum(speed * np.arange(13), 12)
    drift = (1 + 0.5 * rng.normal(size=(runs, directions, 1))) * gone
    paths = drift + wander * rng.normal(size=drift.shape).cumsum(axis=2)
    paths -= paths[:, :, :1]
    return [
        [Look(5 * at, dict(zip("abc", values, strict=False))) for at, values in enumerate(path.T.tolist())]
        for path in paths
    ]


@pytest.mark.parametrize("directions", [1, 3])
def test_by_step_few_of_the_new_runs_alarm_at_any_look(directions):
    """20 benign runs, as many draws as bound the rate of a whole run at 6.5 %."""
    rng = np.random.default_rng(4)
    draws, alarms = 120, []
    for _ in range(draws):
        every = drifting(rng, 25, directions)
        found = Calibration.of({str(at): looks for at, looks in enumerate(every[:20])}, 0.05, "step")
        alarms.append(np.mean([max(map(found.score, one[1:])) > found.threshold for one in every[20:]]))
    assert 0.01 < np.mean(alarms) < 0.065


def test_runs_that_go_faster_to_the_same_end_alarm_by_step_and_not_by_run():
    rng = np.random.default_rng(7)
    alarms: dict[str, list[float]] = {by: [] for by in BY}
    for _ in range(30):
        runs = {str(at): looks for at, looks in enumerate(drifting(rng, 20, wander=0.2))}
        faster = drifting(rng, 10, speed=2.0, wander=0.2)
        for by, found in alarms.items():
            one = Calibration.of(runs, 0.05, by)
            found.append(np.mean([max(map(one.score, some[1:])) > one.threshold for some in faster]))
    assert np.mean(alarms["run"]) < 0.1 and np.mean(alarms["step"]) > 0.2


def test_by_step_an_early_push_is_seen_that_is_smaller_than_late_drift():
    every = drifting(np.random.default_rng(5), 20)
    runs = {str(at): looks for at, looks in enumerate(every)}
    by_step, by_run = (Calibration.of(runs, 0.05, by) for by in ("step", "run"))
    early = Look(10, {"a": 12.0})
    assert by_step.score(early) > by_step.threshold and by_run.score(early) < by_run.threshold
    late = Look(60, {"a": 12.0})  # what benign runs do by then
    assert by_step.score(late) < by_step.threshold


def test_by_step_scores_leave_the_run_itself_out_and_are_those_of_numpy():
    every = drifting(np.random.default_rng(6), 5)
    found = Calibration.of({str(at): looks for at, looks in enumerate(every)}, 0.2, "step")
    curves = np.array([[look.projections["a"] for look in looks] for looks in every])
    others = np.delete(curves, 2, axis=0)
    spread = others.std(axis=0, ddof=1)
    z = (curves[2] - others.mean(axis=0)) / np.maximum(spread, spread.max() / 4)
    assert found.scores[2] == pytest.approx(z[1:].max())
    assert found.threshold == max(found.scores)
    assert found.band.scales["a"][0] == pytest.approx(curves.std(axis=0, ddof=1).max() / 4)  # all start at 0


def test_by_step_the_band_is_interpolated_between_its_steps_and_held_beyond_them():
    runs = {
        "r": looks(0.0, 1.0, 5.0),
        "s": looks(0.0, 3.0, 9.0),
        "t": [*looks(0.0, 2.0, 7.0), Look(12, {"watched": 0.0})],
    }
    found = Calibration.of(runs, 0.3, "step")
    assert found.band.steps == (0, 5, 10)  # t alone was looked at at step 12
    assert found.band.centres["watched"] == pytest.approx((0.0, 2.0, 7.0))
    assert found.band.scales["watched"] == pytest.approx((0.5, 1.0, 2.0))
    assert found.score(Look(8, {"watched": 6.6})) == pytest.approx((6.6 - 5.0) / 1.6)
    assert found.score(Look(99, {"watched": 9.0})) == pytest.approx(1.0)
    with pytest.raises(ConfigError, match="up to other have no checkpoint at the same step"):
        Calibration.of({**runs, "other": looks(0.0, 1.0, every=3)}, 0.3, "step")


@pytest.mark.parametrize("by", BY)
def test_a_calibration_is_the_same_after_json(by):
    found = Calibration.of({str(run): looks(0.0, float(run)) for run in range(4)}, 0.25, by)
    kept = json.loads(json.dumps(found.to_json()))
    assert Calibration.from_json(kept) == found
    with pytest.raises(ValueError, match="by is 'look'"):
        Calibration.from_json({**kept, "by": "look"})
    if by == "step":
        kept["band"]["scales"]["watched"] = [1.0]
        with pytest.raises(ValueError, match="do not fit together"):
            Calibration.from_json(kept)
