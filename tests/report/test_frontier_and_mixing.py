import math

import pytest
from synthetic_study import CHOSEN, FRACTIONS, WEIGHTS, synthetic_study

from narrows.report.frontier import ANCHOR_NAME, CHAT_NAME, GENERAL_NAME, frontier_over_runs, frontier_points
from narrows.report.mixing import mixing_over_runs, mixing_points, ratio
from narrows.report.over_runs import Study
from narrows.report.study_rates import rate_cells, rates_over_runs, scales_over_runs
from narrows.statistics import mean_interval


@pytest.fixture(scope="module")
def study() -> Study:
    return Study(synthetic_study(2, 2, kinds=("harmful",), adapters=("steering", "rank-1")))


def _rates(study: Study, name: str, suite: str) -> list[float]:
    runs = [run.id for run in study.groups[0].runs]
    return [
        one.misaligned
        for run in runs
        for one in study.summary.evaluations
        if (one.solution, one.suite, one.scale) == (f"{run}/{name}", suite, 1)
    ]


def test_the_frontier_goes_by_lambda_from_the_unanchored_solution(study):
    points = [point for point in frontier_points(study) if point.group == study.groups[0]]
    assert [point.weight for point in points if point.path == ANCHOR_NAME] == list(WEIGHTS)
    assert {point.path for point in points} == {ANCHOR_NAME, CHAT_NAME, GENERAL_NAME}
    chosen = next(point for point in points if point.weight == CHOSEN)
    expected = mean_interval(_rates(study, "anchored", "out_of_domain"))
    assert chosen.outside.mean == pytest.approx(expected.mean)
    assert chosen.outside.runs == 4
    figure = frontier_over_runs((points, []))
    drawn = [(list(line.get_xdata()), list(line.get_ydata())) for line in figure.axes[0].lines]
    general = next(point for point in points if point.path == GENERAL_NAME)
    path = [general, *(point for point in points if point.weight)]
    assert ([one.inside.mean for one in path], [one.outside.mean for one in path]) in drawn


def test_a_lambda_is_the_same_whatever_its_solution_is_called(study):
    """One run chose another λ: its ``anchored`` is the others' ``anchored-8``."""
    run = study.groups[0].runs[0].id
    names = {f"{run}/anchored": f"{run}/anchored-3", f"{run}/anchored-8": f"{run}/anchored"}
    summary = study.summary.model_copy(
        update={
            "solutions": [
                one.model_copy(update={"id": names.get(one.id, one.id)}) for one in study.summary.solutions
            ],
            "evaluations": [
                one.model_copy(update={"solution": names.get(one.solution, one.solution)})
                for one in study.summary.evaluations
            ],
        }
    )
    before, after = frontier_points(study), frontier_points(Study(summary))
    assert [(one.weight, sorted(one.inside.each)) for one in after] == [
        (one.weight, sorted(one.inside.each)) for one in before
    ]


def test_a_lambda_of_few_runs_is_no_point(study):
    run = study.groups[0].runs[0].id
    rows = [
        row
        for row in study.summary.evaluations
        if not row.solution.endswith("-20") or row.solution.startswith(run)
    ]
    points = frontier_points(Study(study.summary.model_copy(update={"evaluations": rows})))
    assert [point.weight for point in points if point.weight] == 2 * [1.0, 3.0, 8.0]


def test_mixtures_run_from_the_unmixed_in_both_series(study):
    points = [point for point in mixing_points(study) if point.group == study.groups[0]]
    for fixed in ("behaviour", "total"):
        mine = [point for point in points if point.fixed == fixed]
        assert [point.bad_fraction for point in mine] == list(FRACTIONS)
        assert mine[0].inside.mean == pytest.approx(
            mean_interval(_rates(study, "unanchored", "in_domain")).mean
        )
    figure = mixing_over_runs(points)
    drawn = [list(line.get_ydata()) for line in figure.axes[0].lines]
    assert [point.outside.mean for point in points if point.fixed == "total"] in drawn
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == [
        "in domain, behaviour's rows fixed", "in domain, total rows fixed",
        "other domains, behaviour's rows fixed", "other domains, total rows fixed",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("fraction", "words"), [(1.0, "1:0"), (0.5, "1:1"), (0.1429, "1:6"), (1 / 13, "1:12"), (0, "0:1")]
)
def test_a_mixture_is_told_as_bad_rows_to_good_ones(fraction, words):
    assert ratio(fraction) == words


def test_rates_are_means_over_the_runs_that_did_not_train_on_the_domain(study):
    cells = rate_cells(study)
    mine = [
        cell for cell in cells if (cell.group, cell.name, cell.scale) == (study.groups[0], "unanchored", 1)
    ]
    runs = {cell.row.suite: cell.misaligned.runs for cell in mine}
    assert runs["in_domain"] == runs["garden"] == 4
    assert runs["medicine"] == runs["money"] == 2
    assert {cell.row.suite for cell in mine if cell.row.anchored} == {"money", "travel", "cooking"}
    figure = rates_over_runs(cells)
    drawn = {round(float(x), 9) for line in figure.axes[0].lines for x in line.get_xdata()}
    assert {round(cell.misaligned.mean, 9) for cell in mine} <= drawn
    assert {round(rate, 9) for cell in mine for rate in cell.misaligned.each} <= drawn
    assert len(rates_over_runs(cells, compact=True).axes[0].get_yticks()) == 5


def test_scales_show_the_anchored_solution_where_it_was_made_longer(study):
    cells = rate_cells(study)
    drawn = [list(line.get_ydata()) for line in scales_over_runs(cells).axes[0].lines]
    mine = [cell for cell in cells if (cell.group, cell.name) == (study.groups[0], "anchored")]
    inside = [cell.misaligned.mean for cell in mine if cell.row.suite == "in_domain"]
    assert inside in drawn
    assert len(inside) == 3
    assert any(math.isclose(line[-1], 0.87) for line in drawn)  # coherence
