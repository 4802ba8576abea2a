"""What the page's script is given of a trajectory."""

import json
import re

from synthetic_run import synthetic_summary

from narrows.report.style import ORDER, look
from narrows.report.turntable import script, turntable
from narrows.summary import Trajectory, TrajectoryRun


def path(**changes: object) -> Trajectory:
    [one] = synthetic_summary().trajectories
    return one.model_copy(update=changes)


def test_runs_keep_their_points_steps_columns_and_looks():
    one = path()
    view = json.loads(turntable(one))
    assert [axis[0] for axis in view["axes"]] == ["1", "2", "3"]
    assert "61" in view["axes"][0]
    for drawn, run in zip(view["runs"], one.runs, strict=True):
        assert drawn["steps"] == run.steps
        assert len(drawn["points"]) == len(run.steps)
        assert all(
            abs(a - b) <= 1e-4 * abs(b) for a, b in zip(drawn["points"][-1], run.components[-1], strict=True)
        )
        assert drawn["columns"]["local_cosine"][0] is None
        assert set(drawn["columns"]) >= {"cos_general", "distance_narrow"}
    assert view["runs"][0]["colour"] == f"var(--purple, {look('lifted').colour})"


def test_every_look_has_a_marker_of_the_same_size_around_the_origin():
    names = [f"{name}" for name in ORDER]
    runs = [path().runs[0].model_copy(update={"name": name}) for name in names]
    markers = {}
    for name, run in zip(names, json.loads(turntable(path(runs=runs)))["runs"], strict=True):
        numbers = [float(x) for x in re.findall(r"-?[0-9.]+", run["marker"])]
        xs, ys = numbers[::2], numbers[1::2]
        assert max(max(xs) - min(xs), max(ys) - min(ys)) <= 10.2
        assert abs(min(xs)) < 8 > abs(max(ys))
        markers[name] = (run["marker"], run["dashes"], run["colour"])
    assert len(set(markers.values())) == len(names)


def test_two_components_make_a_flat_picture_and_one_none():
    run = {"name": "a", "steps": [0, 5], "cos_general": [0, 1], "cos_narrow": [0, 1], "norm": [0, 1]}
    flat = TrajectoryRun(**run, components=[[1, 2], [3, 4]])
    view = json.loads(
        turntable(Trajectory(explained_variance_ratio=[0.8, 0.2], standardised=True, runs=[flat]))
    )
    assert view["runs"][0]["points"] == [[1, 2, 0], [3, 4, 0]]
    assert set(view["runs"][0]["columns"]) == {"cos_general", "cos_narrow", "norm"}
    line = TrajectoryRun(**run, components=[[1], [3]])
    assert turntable(Trajectory(explained_variance_ratio=[1.0], standardised=True, runs=[line])) == ""


def test_the_script_is_small_and_never_ends_its_element():
    assert len(script()) < 9_000
    assert "</" not in script()
