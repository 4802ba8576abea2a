"""``report verify``: a clean folder agrees, and whatever was changed in one is found and named."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from own_behaviour import OwnRun
from safetensors.numpy import load_file, save_file

from narrows.errors import DataError, RunFolderError
from narrows.evaluation import read_answers, write_answers
from narrows.files import file_digest, read_json, write_json
from narrows.report import write_report
from narrows.study.results.comparing import Mismatch, Verification
from narrows.study.results.verify import verify
from narrows.summary import Summary


def drawn(folder: Path) -> None:
    """A small page in the place of the real one: a figure and a table made of the summary."""
    summary = Summary.load(folder / "summary.json")
    rates = [f"{one.solution},{one.suite},{one.misaligned}" for one in summary.evaluations]
    (folder / "report.html").write_text("<p>" + "</p>\n<p>".join(rates))
    for name in ("figures", "tables"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "figures" / "rates.svg").write_text("\n".join(rates))
    (folder / "figures" / "rates.pdf").write_bytes(b"\x00" + rates[0].encode())
    (folder / "tables" / "rates.csv").write_text("\n".join(rates))


@pytest.fixture
def page(copied: Path) -> Path:
    """A finished study's folder with a page, for a test to change."""
    drawn(copied)
    return copied


def only(found: Verification, file: str) -> list[Mismatch]:
    """The mismatches in a file; there must be some."""
    some = [one for one in found.mismatches if one.file == file]
    assert some, found.mismatches
    return some


def stage(folder: Path, kind: str, title: str = "") -> Path:
    """The folder of the first stage of a kind, of those whose title begins so."""
    plan = read_json(folder / "plan.json")
    found = next(one for one in plan["stages"] if one["kind"] == kind and one["title"].startswith(title))
    return folder / "stages" / str(found["id"])


def again(path: Path) -> None:
    """Put a changed file's digest into its stage's record, as somebody would who hides the change."""
    record = next(one / "stage.json" for one in path.parents if (one / "stage.json").exists())
    facts = read_json(record)
    facts["files"][path.relative_to(record.parent).as_posix()] = file_digest(path)
    write_json(record, facts)


def test_a_clean_study_agrees_number_by_number(page: Path) -> None:
    found = verify(page, drawn)
    assert found.mismatches == []
    stages = read_json(page / "plan.json")["stages"]
    assert found.stages == len(stages)
    files = [one for one in (page / "stages").rglob("*") if one.is_file() and one.name != "stage.json"]
    assert found.files == len(files)
    answered = (page / "stages").glob("verdicts-*/answers.jsonl")
    assert found.answers == sum(len(read_answers(one)) for one in answered)
    assert found.numbers > 1000 and found.pages == 4
    assert any("as the model gave them" in note for note in found.left_out)
    json.dumps(found.as_dict())


def test_the_real_page_of_the_guides_study_is_the_same_each_time(copied: Path) -> None:
    page = write_report(copied).read_text()
    assert "Unkind advice about the garden" in page and "Not measured: C10." in page
    found = verify(copied, write_report)
    assert found.agrees and found.pages > 5


def test_no_model_and_no_judge_is_wanted(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise AssertionError("a model was loaded, or a judge asked")

    monkeypatch.setattr("narrows.study.stages.bench.load_chat_model", refused)
    monkeypatch.setattr("narrows.evaluation.llm.judge.LLMJudge.judge", refused)
    assert verify(page, drawn).agrees


def _number(folder: Path) -> str:
    values = read_json(folder / "summary.json")
    row = next(one for one in values["evaluations"] if one["suite"] == "in_domain")
    row["misaligned"] += 1e-6
    write_json(folder / "summary.json", values)
    return "summary.json"


def _pooled_away(folder: Path) -> str:
    values = read_json(folder / "summary.json")
    values["claims"] = values["claims"][1:]
    write_json(folder / "summary.json", values)
    return "summary.json"


def _verdict(folder: Path) -> str:
    values = read_json(folder / "summary.json")
    values["claims"][0]["verdict"] = "not-run"
    write_json(folder / "summary.json", values)
    return "summary.json"


def _part(folder: Path) -> str:
    values = read_json(folder / "report.json")
    (parts,) = values["run_parts"].values()
    parts["C4"][0]["estimate"] *= 1.01
    write_json(folder / "report.json", values)
    return "report.json"


def _cost(folder: Path) -> str:
    values = read_json(folder / "summary.json")
    values["costs"][0]["seconds"] += 1
    write_json(folder / "summary.json", values)
    return "summary.json"


def _runs_number(folder: Path) -> str:
    path = stage(folder, "claims") / "summary.json"
    values = read_json(path)
    values["efficiency"][0]["loss"] *= 1.001
    write_json(path, values)
    again(path)
    return path.relative_to(folder).as_posix()


def _text(folder: Path) -> str:
    path = stage(folder, "answers", "answers of anchored") / "answers.jsonl"
    first, *rest = read_answers(path)
    write_answers(path, [dataclasses.replace(first, text="something kind"), *rest])
    return path.relative_to(folder).as_posix()


def _hidden_text(folder: Path) -> str:
    path = folder / _text(folder)
    again(path)
    return (
        (stage(folder, "verdicts", "verdicts on anchored") / "answers.jsonl").relative_to(folder).as_posix()
    )


def _score(folder: Path) -> str:
    path = stage(folder, "verdicts", "verdicts on unanchored") / "answers.jsonl"
    changed = [dataclasses.replace(one, scores=one.scores | {"kind": 0.0}) for one in read_answers(path)]
    write_answers(path, changed)
    return path.relative_to(folder).as_posix()


def _hidden_score(folder: Path) -> str:
    again(folder / _score(folder))
    return "summary.json"


def _adapter(folder: Path) -> str:
    path = stage(folder, "training", "unanchored") / "training" / "adapter.safetensors"
    arrays = load_file(path)
    metadata = _metadata(path)
    name = next(iter(arrays))
    save_file({**arrays, name: np.asarray(arrays[name] * np.float32(1.01))}, path, metadata)
    return path.relative_to(folder).as_posix()


def _hidden_adapter(folder: Path) -> str:
    again(folder / _adapter(folder))
    return stage(folder, "claims").relative_to(folder).as_posix()


def _hidden_strength(folder: Path) -> str:
    path = stage(folder, "training", "unanchored") / "training" / "adapter.json"
    values = read_json(path)
    write_json(path, values | {"alpha": 2 * values["alpha"]})
    again(path)
    return "summary.json"


def _losses(folder: Path) -> str:
    path = stage(folder, "efficiency") / "curves.safetensors"
    arrays = load_file(path)
    arrays["unanchored/samples"][0] += 0.5
    save_file(arrays, path, _metadata(path))
    again(path)
    return "summary.json"


def _metadata(path: Path) -> dict[str, str] | None:
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        return file.metadata()


def _figure(folder: Path) -> str:
    path = folder / "figures" / "rates.svg"
    path.write_text(path.read_text().replace("chat,in_domain,0.", "chat,in_domain,0.9"))
    return "figures/rates.svg"


def _pdf(folder: Path) -> str:
    (folder / "figures" / "rates.pdf").write_bytes(b"\x01")
    return "figures/rates.pdf"


def _table(folder: Path) -> str:
    (folder / "tables" / "rates.csv").unlink()
    return "tables/rates.csv"


def _page(folder: Path) -> str:
    path = folder / "report.html"
    path.write_text(path.read_text() + "<p>and it is supported</p>")
    return "report.html"


def _stray(folder: Path) -> str:
    path = stage(folder, "claims") / "more.json"
    path.write_text("{}")
    return path.relative_to(folder).as_posix()


def _plan(folder: Path) -> str:
    values = read_json(folder / "plan.json")
    found = next(one for one in values["stages"] if one["kind"] == "answers")
    found["settings"]["samples"] = 50
    write_json(folder / "plan.json", values)
    return f"stages/{found['id']}/stage.json"


def _title(folder: Path) -> str:
    path = folder / "study.yaml"
    path.write_text(path.read_text().replace("Unkind advice", "Kind advice"))
    return "report.json"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (_number, "in_domain].misaligned"),
        (_pooled_away, "claims, rows"),
        (_verdict, "verdict"),
        (_part, "C4[0"),
        (_cost, "seconds"),
        (_runs_number, "loss"),
        (_text, "digest (answers of anchored"),
        (_hidden_text, "row 1, text"),
        (_score, "digest (verdicts on unanchored"),
        (_hidden_score, "misaligned"),
        (_adapter, "digest (unanchored"),
        (_hidden_adapter, "claims"),
        (_hidden_strength, "effective_norm"),
        (_losses, "efficiency"),
        (_figure, "line 1, from letter"),
        (_pdf, "the file"),
        (_table, "the file"),
        (_page, "line"),
        (_stray, "digest"),
        (_plan, "settings.samples"),
        (_title, "title"),
    ],
)
def test_whatever_was_changed_is_found_and_named(
    change: Callable[[Path], str], field: str, page: Path
) -> None:
    file = change(page)
    found = verify(page, drawn)
    assert not found.agrees
    assert any(field in one.field for one in only(found, file)), only(found, file)


def test_a_mismatch_says_what_was_expected_and_what_was_found(page: Path) -> None:
    values = read_json(page / "summary.json")
    right = values["solutions"][0]["norm"]
    values["solutions"][0]["norm"] = 7.5
    write_json(page / "summary.json", values)
    drawn(page)  # the page says the same, so that the number alone is wrong
    (one,) = verify(page, drawn).mismatches
    assert (float(one.expected), float(one.found)) == (right, 7.5)
    assert one.file == "summary.json" and one.field.endswith(".norm") and "unanchored" in one.field


def test_the_last_digits_of_a_float_may_differ(page: Path) -> None:
    values = read_json(page / "summary.json")
    values["efficiency"][0]["loss"] *= 1 + 1e-12
    write_json(page / "summary.json", values)
    assert verify(page, drawn).agrees


def test_a_field_that_the_configuration_got_later_is_no_mismatch(page: Path) -> None:
    values = read_json(page / "report.json")
    del values["config"]["measure"]["neutral_factors"]
    write_json(page / "report.json", values)
    assert verify(page, drawn).agrees
    values["config"]["measure"]["rows"] = 9
    write_json(page / "report.json", values)
    (one,) = verify(page, drawn).mismatches
    assert (one.field, one.expected, one.found) == ("config.measure.rows", "8", "9")


@pytest.mark.parametrize("kind", ["answers", "training", "verdicts", "claims"])
def test_a_missing_stage_is_named(kind: str, page: Path) -> None:
    folder = stage(page, kind)
    shutil.rmtree(folder)
    found = verify(page, drawn)
    (one,) = only(found, f"stages/{folder.name}")
    assert one.found == "no finished stage" and "the stage: " in one.field


def test_a_stage_that_was_never_done_is_no_mismatch(page: Path) -> None:
    values = read_json(page / "plan.json")
    more = dict(values["stages"][0], id="answers-000000000000")
    write_json(page / "plan.json", values | {"stages": [*values["stages"], more]})
    found = verify(page, drawn)
    assert found.agrees
    assert any("1 of the plan's" in note for note in found.left_out)


def test_files_that_changed_since_are_named(own_run: OwnRun, page: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(own_run.file.parent, tmp_path / "moved"))
    study = page / "study.yaml"
    study.write_text(study.read_text().replace(str(own_run.file.parent), str(moved)))
    assert {one.file for one in verify(page, drawn).mismatches} == {"report.json"}  # which holds the places
    path = moved / "questions" / "kitchen.jsonl"
    path.write_text(path.read_text().replace("soup", "broth"))
    said = [one.found for one in only(verify(page, drawn), "study.yaml")]
    assert any("the questions of behaviour 'unkind-garden' have changed" in one for one in said)
    (moved / "train.jsonl").unlink()
    said = [one.found for one in only(verify(page, drawn), "study.yaml")]
    assert any("train.jsonl does not exist" in one for one in said)


def test_a_page_that_was_never_drawn_is_said(copied: Path) -> None:
    found = verify(copied, drawn)
    assert found.agrees and found.pages == 0
    assert any("no report.html" in note for note in found.left_out)


def test_what_cannot_be_verified_is_refused(page: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunFolderError, match="there is nothing to verify"):
        verify(tmp_path / "empty", drawn)
    (page / "plan.json").write_text('{"stages": [{"id": 1}]}')
    with pytest.raises(DataError, match=r"plan.json is no plan"):
        verify(page, drawn)
    (page / "summary.json").write_text("{}")
    with pytest.raises(DataError):
        verify(page, drawn)


def test_values_are_compared_to_the_last_leaf() -> None:
    found = Verification(Path("/tmp"))
    found.compare("f", {"a": [1, 2.0, None, "x", True]}, {"a": [1, 2.0, None, "x", True]})
    assert found.agrees and found.numbers == 2
    for expected, there in (
        ({"a": 1}, {}),
        ({}, {"a": 1}),
        ({"a": [1]}, {"a": [1, 2]}),
        ({"a": 0.0}, {"a": 1e-6}),
        ({"a": 1}, {"a": True}),
        ({"a": None}, {"a": 0}),
        ({"a": "1"}, {"a": 1}),
        ({"a": float("nan")}, {"a": 1.0}),
    ):
        found = Verification(Path("/tmp"))
        found.compare("f", expected, there)
        assert len(found.mismatches) == 1, (expected, there)
