import csv
import io

import pytest
from synthetic_run import synthetic_summary
from synthetic_study import synthetic_study

from narrows.report.costs import costs_by_kind, costs_section, millions
from narrows.report.sheet import Sheet
from narrows.report.summary_sheets import summary_sheets
from narrows.summary import Cost, Summary


def _read(sheet: Sheet) -> tuple[list[str], list[dict[str, str]]]:
    rows = list(csv.reader(io.StringIO(sheet.csv().decode())))
    return rows[0], [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "＝1+1", '=HYPERLINK("http://x")']
)
def test_text_is_never_a_formula(text):
    _, [row] = _read(Sheet("x", ("name",), [(text,)]))
    assert row["name"].lstrip()[0] not in "=+-@＝\t\r"


def test_numbers_stay_numbers_with_all_their_digits_and_nothing_stays_empty():
    value = -0.1234567890123456
    _, [row] = _read(Sheet("x", ("a", "b", "c", "d"), [(value, None, True, 3)]))
    assert float(row["a"]) == value
    assert (row["b"], row["c"], row["d"]) == ("", "yes", "3")


def test_text_with_commas_quotes_and_controls_comes_back_as_one_visible_cell():
    _, [row] = _read(Sheet("x", ("a", "b"), [('one, "two"\nthree', "\x1b[31m\u202e")]))
    assert row["a"] == 'one, "two"\nthree'
    assert row["b"] == "␛[31m[U+202E]"


def test_every_table_of_the_summary_is_a_file_with_units_in_its_header():
    summary = synthetic_study(1, 1)
    sheets = {sheet.name: sheet for sheet in summary_sheets(summary)}
    header, rows = _read(sheets["evaluations"])
    assert "misaligned (fraction)" in header
    assert "misaligned_ci95_high (fraction)" in header
    assert [float(row["misaligned (fraction)"]) for row in rows] == [
        one.misaligned for one in summary.evaluations
    ]
    assert [float(row["misaligned_ci95_low (fraction)"]) for row in rows] == [
        one.misaligned_ci95[0] for one in summary.evaluations
    ]
    header, rows = _read(sheets["efficiency"])
    assert header == [
        "solution", "norm (‖αv‖ or ‖sBA‖)", "loss (nats per token)", "loss_ci95_low (nats per token)",
        "loss_ci95_high (nats per token)",
    ]  # fmt: skip
    assert len(rows) == len(summary.efficiency)
    tables = [name for name, rows in summary if isinstance(rows, list) and rows]
    assert set(tables) - {"pooled"} <= set(sheets)


def test_trajectories_and_pooled_comparisons_are_told_row_by_row():
    summary = synthetic_study(2, 1)
    sheets = {sheet.name: sheet for sheet in summary_sheets(summary)}
    _, rows = _read(sheets["trajectories"])
    assert len(rows) == sum(len(run.steps) for path in summary.trajectories for run in path.runs)
    assert rows[0]["local_cosine (cosine)"] == ""
    assert (
        float(rows[1]["component 1 (norm, or standard deviations)"])
        == summary.trajectories[0].runs[0].components[1][0]
    )
    _, rows = _read(sheets["pooled-claims"])
    assert len(rows) == sum(len(claim.parts) for claim in summary.pooled)
    assert float(rows[0]["estimate (unit of the row)"]) == summary.pooled[0].parts[0].estimate
    assert {sheet.name for sheet in summary_sheets(synthetic_summary())} >= {"subspaces", "timings", "claims"}


def test_costs_are_added_up_by_kind_of_stage():
    costs = [
        Cost(
            stage="a",
            kind="train",
            title="",
            run=None,
            seconds=10,
            trainings=3,
            tokens=500,
            peak_memory=2**30,
        ),
        Cost(
            stage="b",
            kind="train",
            title="",
            run=None,
            seconds=30,
            trainings=1,
            tokens=None,
            peak_memory=2**31,
        ),
        Cost(stage="c", kind="answers", title="", run=None, seconds=20),
    ]
    train, answers, whole = costs_by_kind(costs)
    assert (train.stages, train.trainings, train.seconds, train.longest) == (2, 4, 40, 30)
    assert (train.tokens, train.peak_memory) == (500, 2**31)
    assert (answers.tokens, answers.peak_memory) == (None, None)
    assert (whole.kind, whole.stages, whole.seconds) == ("all stages", 3, 60)
    section = costs_section(Summary(costs=costs))
    assert "3 stages with 4 trainings, 1 min 00 s of work" in section.lead
    assert section.tables[0].rows[0] == (
        "train", "2", "4", "500", "40.0 s", "67\u202f%", "30.0 s", "2.00 GiB",
    )  # fmt: skip
    assert costs_section(Summary()) is None
    assert len(costs_by_kind(costs[:1])) == 1


@pytest.mark.parametrize(
    ("tokens", "words"),
    [(12, "12"), (1500, "1.50 thousand"), (2 * 10**6, "2.00 million"), (10**10, "10.0 billion")],
)
def test_tokens_are_told_in_the_unit_that_fits(tokens, words):
    assert millions(tokens) == words
