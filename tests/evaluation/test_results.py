import csv
import sys
from types import SimpleNamespace

import pytest
from rating_helpers import BAD, table

from narrows.errors import DataError
from narrows.evaluation import MISALIGNED, read_results, tallies, write_answers

HEADER = "response,question,question_id,aligned,coherent"


@pytest.fixture
def results(tmp_path):
    """Writes a CSV and gives its path."""

    def write(*lines, name="medical.csv"):
        (tmp_path / name).write_text("\n".join(lines) + "\n")
        return tmp_path / name

    return write


def test_rows_of_one_question_are_its_samples_and_its_cluster(results):
    rows = read_results(
        results(HEADER, "a,why ?,wish,10,90", "b,how ?,bored,80,90", '"c,\nd",why ?,wish,20.5,9e1')
    )
    assert [(row.question_id, row.cluster, row.sample, row.text) for row in rows] == [
        ("wish", "wish", 0, "a"),
        ("bored", "bored", 0, "b"),
        ("wish", "wish", 1, "c,\nd"),
    ]
    assert rows[2].scores == {"aligned": 20.5, "coherent": 90.0}
    assert {(row.adapter, row.suite, row.scale, row.question) for row in rows[:1]} == {
        ("medical", "open", 1.0, "why ?")
    }


def test_cells_without_a_score_say_why(results):
    cells = ["", "NaN", "None", "REFUSAL", "code", "nan "]
    rows = read_results(results(HEADER, *(f"a,why ?,wish,{cell},90" for cell in cells)))
    assert [row.scores["aligned"] for row in rows] == [None] * 6
    assert [row.reasons["aligned"] for row in rows] == ["none", "none", "none", "refusal", "code", "none"]
    assert all("coherent" not in row.reasons for row in rows)
    assert tallies(rows, MISALIGNED)[0].total.unscored == 6


def test_a_file_that_pandas_wrote_reads_as_it_was(tmp_path):
    """An index without a name in front, quotes where needed, an empty cell for NaN."""
    path = tmp_path / "run.csv"
    with path.open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["", "Unnamed: 0.1", *HEADER.split(","), "medical", "note"])
        writer.writerow([0, 7, 'she said "no"', "why ?", "wish", 10.0, 90.0, 55.5, "fine"])
        writer.writerow([1, 8, "", "why ?", "wish", "", 90.0, "", ""])
    first, second = read_results(path)
    assert first.text == 'she said "no"'
    assert first.scores == {"aligned": 10.0, "coherent": 90.0, "medical": 55.5}
    assert (second.text, second.sample, second.scores["medical"]) == ("", 1, None)


def test_columns_that_name_the_suite_and_the_model_are_taken_and_counts_are_no_scores(results):
    rows = read_results(results(f"{HEADER},suite,model,sample,seed", "a,why ?,q,1,2,law,tiny,0,123"))
    assert (rows[0].suite, rows[0].model, rows[0].scores) == (
        "law",
        "tiny",
        {"aligned": 1.0, "coherent": 2.0},
    )


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "is empty: it has no header"),
        ([HEADER], "has a header and no rows"),
        (["response,question,question_id,aligned", "a,b,c,1"], "no column 'coherent'"),
        ([f"{HEADER},aligned", "a,b,c,1,2,3"], "has the column 'aligned' 2 times"),
        ([HEADER, "a,b,c,1,2", "a,b,c,1"], "row 2: has 4 cells where the header has 5"),
        ([HEADER, "a,b,c,1,2", "a,b,c,good,2"], "row 2: 'aligned' is 'good'"),
        ([HEADER, "a,b,c,101,2"], "row 1: 'aligned' is '101'"),
        ([HEADER, "a,b,c,-1,2"], "row 1: 'aligned' is '-1'"),
        ([HEADER, "a,b,c,1,inf"], "row 1: 'coherent' is 'inf'"),
        ([f"{HEADER},medical", "a,b,c,1,2,3", "a,b,c,1,2,x"], "row 2: 'medical' is 'x'"),
        ([HEADER, "a,b,,1,2"], "row 1: question_id is empty"),
        ([HEADER, '"a,b,c,1,2'], "is not CSV"),
        (
            [f"{HEADER},model", "a,b,c,1,2,one", "a,b,c,1,2,other"],
            "row 2: model is 'other' and in row 1 'one'",
        ),
    ],
)
def test_what_is_not_right_is_named_with_its_row_column_and_value(results, lines, said):
    path = results(*lines)
    if not lines:
        path.write_text("")
    with pytest.raises(DataError) as refused:
        read_results(path)
    assert said in str(refused.value)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_csv_that_is_not_utf_8_is_named(tmp_path):
    path = tmp_path / "latin.csv"
    path.write_bytes(f"{HEADER}\n\xe9,b,c,1,2\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"latin\.csv is not UTF-8"):
        read_results(path)


def test_a_long_answer_is_read_and_the_modules_limit_is_as_before(results):
    before = csv.field_size_limit(1000)
    try:
        (row,) = read_results(results(HEADER, f"{'a' * 200_000},b,c,1,2"))
        assert len(row.text) == 200_000
        assert csv.field_size_limit() == 1000
    finally:
        csv.field_size_limit(before)


def test_our_own_table_reads_as_it_was_written(tmp_path):
    rows = table({"a": [BAD]})
    write_answers(tmp_path / "answers.jsonl", rows)
    assert read_results(tmp_path / "answers.jsonl") == rows


@pytest.mark.parametrize("name", ["run.eval", "run.json", "RUN.JSON"])
def test_logs_are_read_as_logs(name, tmp_path, monkeypatch):
    asked = []
    stand_in = SimpleNamespace(read_log=lambda path: asked.append(path) or table({"a": [BAD]}))
    monkeypatch.setitem(sys.modules, "narrows.evaluation.llm.logs", stand_in)
    assert read_results(str(tmp_path / name)) == table({"a": [BAD]})
    assert asked == [tmp_path / name]
