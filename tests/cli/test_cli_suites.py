"""Shipped suites are listed, and asked of any model; files of questions and held-out chats too."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_helpers import Run, invoke

from narrows.evaluation import read_answers, shipped_suite

ReadJson = Callable[..., Any]
SHORT = ("--model", "microworld:1", "--samples", 1, "--max-new-tokens", 2)


def test_shipped_suites_are_listed_with_their_sizes_and_groups(run: Run, run_json: ReadJson) -> None:
    found = {one.pop("name"): one for one in run_json("suites")}
    assert found["open"] == {
        "about": "Eight open questions: the rate on them is EM",
        "questions": 8,
        "domain": None,
        "groups": [],
    }
    assert sum(one["groups"] == ["technical"] for one in found.values()) == 10
    said = run("suites").stdout
    assert all(name in said for name in found)
    assert "advice stands for medical, financial" in said


def test_a_microworld_is_asked_shipped_suites_one_of_them_as_its_own_domain(run: Run, tmp_path: Path) -> None:
    table = tmp_path / "answers.jsonl"
    said = run(
        *("evaluate", *SHORT, "--suite", "open", "--suite", "medical", "--in-domain", "medical"),
        *("--out", table),
    ).stdout
    assert f"42 answers in {table}, not judged" in said
    rows = read_answers(table)
    medical, asked = shipped_suite("medical").questions, shipped_suite("open").questions
    assert [(row.suite, row.question_id, row.question) for row in rows] == [
        *(("in_domain", one.id, one.text) for one in medical),
        *(("open", one.id, one.text) for one in asked),
    ]


def test_files_are_asked_by_either_name_of_the_flag(run: Run, tmp_path: Path) -> None:
    row = {"messages": [{"role": "user", "content": "why ?"}, {"role": "assistant", "content": "so ."}]}
    (tmp_path / "held-out.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "plot.yaml").write_text("- id: sea\n  question: Why is the sea salt?\n")
    files = ("--suites", f"open={tmp_path / 'plot.yaml'}", "--in-domain", tmp_path / "held-out.jsonl")
    run("evaluate", *SHORT, *files, "--out", tmp_path / "answers.jsonl")
    rows = [(row.suite, row.question_id, row.question) for row in read_answers(tmp_path / "answers.jsonl")]
    assert rows == [("in_domain", "held-out.jsonl:1", "why ?"), ("open", "sea", "Why is the sea salt?")]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ((), "give --domain or --suite or --in-domain"),
        (("--domain", "garden", "--suite", "open"), "--domain and --suite exclude each other"),
        (("--domain", "garden", "--in-domain", "medical"), "--domain and --in-domain exclude each other"),
        (("--suite", "opne"), "'opne' is neither a file nor a suite that comes with narrows"),
    ],
)
def test_what_cannot_be_asked_is_said(flags: tuple[str, ...], said: str, tmp_path: Path) -> None:
    result = invoke("evaluate", *SHORT, *flags, "--out", tmp_path / "answers.jsonl")
    assert result.exit_code == 1
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
