"""``narrows report``: the page written again, and held against what the demo's folder keeps."""

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


@pytest.mark.usefixtures("undrawn")
def test_a_study_put_together_again_keeps_the_command_that_made_it(run: Run, copied: Path) -> None:
    said = read_json(copied / "report.json")["command"]
    assert said.startswith("narrows demo ")
    run("study", "report", copied / "study.yaml", "--out", copied)
    assert read_json(copied / "report.json")["command"] == said


def test_verify_says_what_it_checked_and_what_it_could_not(run: Run, demo_run: Path) -> None:
    said = run("report", "verify", demo_run).stdout
    assert "all agree" in said and "pages checked" in said
    assert "as the model gave them" in said


@pytest.mark.usefixtures("undrawn")
def test_verify_counts_what_it_checked_as_json(run: Run, demo_run: Path) -> None:
    found = json.loads(run("report", "verify", demo_run, "--json").stdout)
    assert found["agrees"] and found["mismatches"] == []
    assert found["checked"]["answers"] > 100 and found["checked"]["numbers"] > 100


@pytest.mark.usefixtures("undrawn")
def test_verify_ends_with_one_where_something_disagrees(copied: Path) -> None:
    plan = read_json(copied / "plan.json")
    [judged] = [one["id"] for one in plan["stages"] if one["title"].startswith("verdicts on anchored ·")]
    path = copied / "stages" / judged / "answers.jsonl"
    answers = read_answers(path)
    for one in answers:
        one.scores["aligned"] = 0.0
    write_answers(path, answers)
    values = read_json(copied / "summary.json")
    values["solutions"][0]["norm"] *= 2
    write_json(copied / "summary.json", values)
    result = invoke("report", "verify", copied)
    assert result.exit_code == 1
    assert f"✕ stages/{judged}/answers.jsonl: the file's digest" in result.stdout
    found = json.loads(invoke("report", "verify", copied, "--json").stdout)
    fields = [(one["file"], one["field"]) for one in found["mismatches"]]
    assert any(file == "summary.json" and field.endswith("unanchored].norm") for file, field in fields), (
        fields
    )
    assert any(file == "report.json" and "claim_parts.C2" in field for file, field in fields), fields


def test_verify_without_a_run_says_so(tmp_path: Path) -> None:
    result = invoke("report", "verify", tmp_path)
    assert result.exit_code == 1
