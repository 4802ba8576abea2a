"""``narrows report``: the page written again, and held against what a single run keeps."""

import json
import shutil
from pathlib import Path

import pytest
from cli_helpers import Run, invoke

from narrows.evaluation import read_answers, write_answers
from narrows.files import read_json, write_json


@pytest.fixture
def copied(demo_run: Path, tmp_path: Path) -> Path:
    """The demo's folder, for a test to change."""
    return Path(shutil.copytree(demo_run, tmp_path / "run"))


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page is not drawn, which takes its time, where a test is about numbers."""
    monkeypatch.setattr("narrows.report.write_report", lambda folder: folder / "report.html")


def test_a_folder_stands_for_writing_its_page(run: Run, demo_run: Path, copied: Path) -> None:
    (copied / "report.html").unlink()
    assert json.loads(run("report", "--json", copied).stdout) == {"report": str(copied / "report.html")}
    assert (copied / "report.html").read_bytes() == (demo_run / "report.html").read_bytes()


def test_verify_says_what_it_checked_and_what_it_could_not(run: Run, demo_run: Path) -> None:
    said = run("report", "verify", demo_run).stdout
    assert "all agree" in said and "pages checked" in said
    assert "keeps no losses row by row" in said and "C4, C5, C6" in said


@pytest.mark.usefixtures("undrawn")
def test_verify_counts_what_it_checked_as_json(run: Run, demo_run: Path) -> None:
    found = json.loads(run("report", "verify", demo_run, "--json").stdout)
    assert found["agrees"] and found["mismatches"] == []
    assert found["checked"]["answers"] > 100 and found["checked"]["numbers"] > 100


@pytest.mark.usefixtures("undrawn")
def test_verify_ends_with_one_where_something_disagrees(copied: Path) -> None:
    path = copied / "answers" / "anchored@1.jsonl"
    answers = read_answers(path)
    for one in answers:
        one.scores["aligned"] = 0.0
    write_answers(path, answers)
    values = read_json(copied / "summary.json")
    values["solutions"][0]["norm"] *= 2
    write_json(copied / "summary.json", values)
    result = invoke("report", "verify", copied)
    assert result.exit_code == 1
    assert "✕ summary.json: evaluations[" in result.stdout and "misaligned: expected" in result.stdout
    found = json.loads(invoke("report", "verify", copied, "--json").stdout)
    fields = [(one["file"], one["field"]) for one in found["mismatches"]]
    assert ("summary.json", "solutions unanchored.norm") in fields
    assert any(file == "report.json" and field.startswith("claim_parts.C2") for file, field in fields)


def test_verify_without_a_run_says_so(tmp_path: Path) -> None:
    result = invoke("report", "verify", tmp_path)
    assert result.exit_code == 1
