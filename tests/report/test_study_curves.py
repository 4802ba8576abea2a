import numpy as np
import pytest
from synthetic_study import synthetic_study

from narrows.report.over_runs import Study
from narrows.report.study_curves import (
    POINTS,
    SHARE_LABEL,
    CurveView,
    curves_over_runs,
    efficiency_points,
    gradient_points,
    larger_norms,
    mean_curves,
    significance_points,
)
from narrows.statistics import mean_interval


@pytest.fixture(scope="module")
def study() -> Study:
    return Study(synthetic_study(2, 2, kinds=("harmful",), adapters=("steering", "rank-1")))


def test_runs_with_the_same_places_are_averaged_there(study):
    runs = [run.id for run in study.groups[0].runs]
    points = [(run, "anchored", x, x + number) for number, run in enumerate(runs) for x in (0.5, 1.0)]
    [curve] = mean_curves(study, points)
    expected = mean_interval([1.0, 2.0, 3.0, 4.0])
    assert curve.x == [0.5, 1.0]
    assert curve.y[1].mean == pytest.approx(expected.mean)
    assert curve.y[1].ci95 == pytest.approx((expected.low, expected.high))
    assert len(curve.each) == 4


def test_runs_with_other_places_are_interpolated_where_all_were_measured(study):
    first, second, *_ = (run.id for run in study.groups[0].runs)
    points = [(first, "anchored", x, 2 * x) for x in (0.0, 1.0)]
    points += [(second, "anchored", x, 4 * x) for x in (0.25, 0.5, 2.0)]
    [curve] = mean_curves(study, points)
    assert (curve.x[0], curve.x[-1], len(curve.x)) == (0.25, 1.0, POINTS)
    assert [one.mean for one in curve.y] == pytest.approx([3 * x for x in curve.x])
    apart = [(first, "anchored", 0.0, 1.0), (second, "anchored", 1.0, 1.0)]
    assert mean_curves(study, apart) == []


def test_on_logarithmic_axes_the_mean_is_geometric(study):
    first, second, *_ = (run.id for run in study.groups[0].runs)
    points = [(first, "random", 1.0, 0.01), (second, "random", 1.0, 1.0), (second, "random", 1.0, 1.0)]
    [curve] = mean_curves(study, points, logarithmic=True)
    assert curve.y[0].mean == pytest.approx(0.1)
    assert 0 < curve.y[0].low < 0.1 < curve.y[0].high


def test_norms_are_shares_of_the_runs_own_larger_trained_norm(study):
    norms = larger_norms(study)
    trained = {one.id: one.effective_norm for one in study.summary.solutions}
    run = study.summary.runs[0].id
    assert norms[run] == max(trained[f"{run}/unanchored"], trained[f"{run}/anchored"])
    places = {round(x, 6) for _, name, x, _ in efficiency_points(study) if name == "unanchored"}
    assert {0.2, 0.5, 0.8, 1.0} < places
    for _, name, x, kl in significance_points(study, "all"):
        assert 0 < x <= 1
        assert kl > 0
        assert name in ("unanchored", "anchored", "random", "random-covariance")


def test_rows_of_no_run_are_passed_over(study):
    assert mean_curves(study, [("", "anchored", 1.0, 1.0), ("nobody", "anchored", 1.0, 1.0)]) == []


def test_gradients_are_followed_by_the_share_of_the_training(study):
    found = list(gradient_points(study))
    assert {x for _, _, x, _ in found} == {0.0, 0.2, 0.4, 0.6, 0.8, 1.0}
    assert {name for _, name, _, _ in found} == {"unanchored", "anchored"}


def test_the_drawn_curves_are_the_means_with_every_run_behind_them(study):
    view = CurveView(mean_curves(study, efficiency_points(study)), SHARE_LABEL, "loss")
    figure = curves_over_runs(view)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["steering vector", "rank-1 LoRA"]
    group = [curve for curve in view.known if curve.group == study.groups[0]]
    drawn = [list(line.get_ydata()) for line in figure.axes[0].lines]
    for curve in group:
        assert [one.mean for one in curve.y] in drawn
    assert len(drawn) == len(group) + 2 * 4  # the control's single runs are not drawn
    bands = figure.axes[0].collections
    assert len(bands) == 2
    low = min(one.low for curve in group for one in curve.y if curve.name in ("unanchored", "anchored"))
    assert min(np.min(band.get_paths()[0].vertices[:, 1]) for band in bands) == pytest.approx(low)
