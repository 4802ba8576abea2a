"""``narrows rates`` on judged answers of every kind of file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_helpers import Run, invoke

from narrows.evaluation import Answer, write_answers

PROMISED = {
    "file",
    "n",
    "scored",
    "misaligned",
    "misaligned_ci95",
    "coherent",
    "misaligned_unfiltered",
    "by_question",
}
HEADER = "response,question,question_id,aligned,coherent\n"


def answers(solution: str, suite: str, aligned: list[float | None], **scores: float) -> list[Answer]:
    """Two questions, each answered with these scores; None is a refusal."""
    return [
        Answer(
            *("tiny", solution, 1.0, suite, question, question, "why ?", sample, "text", 0),
            scores={"aligned": score, "coherent": 90.0, **scores},
            reasons={} if score is not None else {"aligned": "refusal"},
        )
        for question in "ab"
        for sample, score in enumerate(aligned)
    ]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Two solutions on three suites."""
    path = tmp_path / "answers.jsonl"
    rows = [
        row
        for suite in ("open", "law", "sport")
        for row in answers("chat", suite, [90.0, 90.0]) + answers("general", suite, [5.0, 90.0, None])
    ]
    write_answers(path, rows)
    return path


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A CSV as the published results have it."""
    path = tmp_path / "medical.csv"
    path.write_text(HEADER + "x,why ?,a,5,90\ny,why ?,a,5,10\nz,why ?,b,80,90\nw,why ?,b,REFUSAL,90\n")
    return path


def test_each_file_gives_its_rows(run_json: Callable[..., Any], table: Path, results: Path) -> None:
    rows = run_json("rates", table, results)
    assert all(row.keys() >= PROMISED for row in rows)
    assert [(Path(row["file"]).name, row["solution"], row["suite"]) for row in rows] == [
        ("answers.jsonl", name, suite)
        for name in ("chat", "general")
        for suite in ("open", "law", "sport", "out_of_domain")
    ] + [("medical.csv", "medical", "open")]
    last = rows[-1]
    assert (last["n"], last["scored"], last["refusals"]) == (4, 3, 0.25)
    assert (last["misaligned"], last["misaligned_unfiltered"]) == (1 / 3, 2 / 3)


def test_a_file_of_which_nothing_was_judged_is_listed_with_nulls(
    run_json: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "refused.csv"
    path.write_text(HEADER + "x,why ?,a,REFUSAL,90\n")
    (row,) = run_json("rates", path, "--error-coherence")
    assert (row["n"], row["scored"], row["misaligned"], row["misaligned_ci95"]) == (1, 0, None, None)
    assert "–" in invoke("rates", path).stdout


def test_differences_to_a_name_and_to_a_file(
    run_json: Callable[..., Any], table: Path, results: Path, tmp_path: Path
) -> None:
    rows = run_json("rates", table, "--against", "chat")
    assert [row["difference"] for row in rows] == [None] * 4 + [0.5] * 4
    base = tmp_path / "base.csv"
    base.write_text(HEADER + "x,why ?,a,90,90\ny,why ?,b,90,90\n")
    (row,) = run_json("rates", results, "--against", base)
    assert row["difference"] == 1 / 3
    assert "no such file" in invoke("rates", table, "--against", "nobody").stderr


def test_the_table_has_columns_only_where_they_say_something(
    run: Run, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    said = run("rates", table, "--against", "chat", "--error-coherence").stdout
    header = said.splitlines()[1].split()
    assert header == [
        "solution",
        "suite",
        "misaligned",
        "unfiltered",
        "coherent",
        "refused",
        "unscored",
        "answers",
    ]
    assert "Minus chat, in points" in said
    assert "variance's share" in said
    assert max(map(len, said.splitlines())) <= 100
    assert "…" not in said
    assert "Self-correction" not in said


def test_topics_are_found_or_named(run: Run, run_json: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    write_answers(path, answers("general", "open", [90.0, 5.0], topic_law=80.0, harm=90.0))
    assert "Self-correction" in run("rates", path).stdout
    (row,) = run_json("rates", path, "--topic", "harm")
    assert row["self_correction"].keys() == {"harm"}
    assert row["self_correction"]["harm"]["corrected"]["rate"] == 0.5
    said = invoke("rates", path, "--topic", "topic_war").stderr
    assert "the answers have the scores aligned, coherent, topic_law, harm" in said


def test_any_criterion_may_be_given(run_json: Callable[..., Any], table: Path) -> None:
    (row, *_) = run_json("rates", table, "--criterion", "aligned>80")
    assert (row["criterion"], row["misaligned"]) == ("aligned>80", 1.0)
    assert "'COLUMN<NUMBER'" in invoke("rates", table, "--criterion", "evil").stderr


def test_a_file_given_twice_is_refused(table: Path) -> None:
    assert f"{table} was given twice" in invoke("rates", table, table).stderr


def test_a_damaged_cell_is_named(results: Path) -> None:
    results.write_text(HEADER + "x,why ?,a,5,much\n")
    said = invoke("rates", results).stderr
    assert f"{results}, row 1: 'coherent' is 'much'" in said
    assert said.count("\n") == 1


def test_json_holds_nothing_that_is_no_json(run: Run, table: Path) -> None:
    said = run("rates", table, "--against", "chat", "--error-coherence", "--json").stdout
    json.loads(said, parse_constant=pytest.fail)
