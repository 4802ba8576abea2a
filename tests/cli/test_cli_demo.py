"""``narrows demo``: a study of one run, done in one command."""

import json
import shutil
from pathlib import Path

import pytest
from cli_helpers import Run, demo_summary, invoke

from command_process import CommandProcess
from narrows.cli import demo
from narrows.study import StudyConfig, load_study
from narrows.summary import Summary


@pytest.fixture
def no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves the report out, which takes as long as the rest and is not what a test is about."""
    monkeypatch.setattr("narrows.report.write_report", lambda folder: folder / "report.html")


@pytest.fixture
def studied(monkeypatch: pytest.MonkeyPatch) -> list[StudyConfig]:
    """Collects the studies that the demo would carry out."""
    found: list[StudyConfig] = []

    class SeenError(Exception):
        pass

    def look(config: StudyConfig, *_: object, **__: object) -> None:
        found.append(config)
        raise SeenError

    monkeypatch.setattr(demo, "carry_out_here", look)
    return found


def finished(folder: Path) -> list[str]:
    """The stages that were done in a study's folder, over all sittings, by their ids."""
    lines = map(json.loads, (folder / "journal.jsonl").read_text().splitlines())
    return [line["stage"] for line in lines if line["event"] == "finished"]


def test_the_demo_leaves_a_valid_summary_and_a_report(demo_run: Path) -> None:
    summary = Summary.load(demo_run / "summary.json")
    assert [claim.id for claim in summary.claims] == ["C1", "C2", "C4", "C5", "C6", "C7"]
    shown = {one["solution"] for one in demo_summary(demo_run)["evaluations"]}
    assert {"chat", "unanchored", "anchored", "lifted"} <= shown
    page = (demo_run / "report.html").read_text()
    assert "narrows demo --model 1 --domain garden --quick" in page
    assert "harmful answers about garden" in page and "a steering vector" in page
    assert all(claim.id in page for claim in summary.claims)


@pytest.mark.usefixtures("no_page")
def test_the_same_command_again_finds_everything_done(
    run: Run, demo_command: tuple[object, ...], demo_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, done = demo_summary(demo_run), finished(demo_run)

    def nobody_is_wanted(*_: object, **__: object) -> None:
        raise AssertionError("a finished stage was to be done again")

    monkeypatch.setattr("narrows.study.execution.local.local_workers", nobody_is_wanted)
    result = run(*demo_command, "--out", demo_run)
    assert demo_summary(demo_run) == before
    assert finished(demo_run) == done and len(done) == len(set(done))
    for word in ("in domain", "no anchor: it spreads", "summary.json", "report.html", "for 0 stages"):
        assert word in result.stdout


@pytest.mark.usefixtures("no_page")
def test_other_numbers_of_samples_in_the_same_folder_do_what_is_missing(
    run: Run, demo_command: tuple[object, ...], demo_run: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(demo_run, tmp_path / "run"))
    found = json.loads(run(*demo_command, "--out", out, "--set", "measure.samples=2", "--json").stdout)
    done = set(finished(out)) - set(finished(demo_run))
    assert {stage.rpartition("-")[0] for stage in done} == {"answers", "verdicts", "claims"}
    before = demo_summary(demo_run)
    counts = {
        row["n"] // old["n"] for row, old in zip(found["evaluations"], before["evaluations"], strict=True)
    }
    assert counts == {2}
    assert demo_summary(out)["efficiency"] == before["efficiency"]


@pytest.mark.usefixtures("no_page")
def test_a_killed_demo_goes_on_and_ends_the_same(
    run: Run, demo_command: tuple[object, ...], demo_run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    process = CommandProcess([*demo_command, "--out", out], tmp_path / "said")
    process.wait_until(lambda: any(out.glob("work/*/training/checkpoints/step-*")))
    assert process.kill()
    assert not (out / "summary.json").exists()
    run(*demo_command, "--out", out)
    assert demo_summary(out) == demo_summary(demo_run)


def test_without_flags_it_is_the_preset(studied: list[StudyConfig], tmp_path: Path) -> None:
    invoke("demo", "--out", tmp_path / "run")
    assert studied == [load_study("microworld-demo")]


def test_flags_are_put_over_the_preset_and_fields_over_both(
    studied: list[StudyConfig], tmp_path: Path
) -> None:
    flags = ("--kind", "technical", "--adapter", "lora", "--rank", 32, "--tune", "--quick", "--seed", 7)
    invoke("demo", "--out", tmp_path / "run", *flags, "--set", "recipe.steps=5", "--set", "name=mine")
    (config,) = studied
    (adapter,) = config.adapters
    assert (adapter.adapter, adapter.rank, adapter.recipe) == ("lora", (32,), {"weight_decay": 0.01})
    assert (config.kl_weight, config.kl_weights) == (None, (1, 2, 4, 8, 16, 32, 64))
    (behaviour,) = config.behaviours
    assert behaviour.world is not None
    assert (behaviour.world.kinds, behaviour.world.seed) == (("technical",), 7)
    assert (config.seeds, config.measure_seed, config.recipe.steps, config.name) == ((7,), 7, 5, "mine")
    assert config.title == "Narrow and general solutions to technical answers about sport"
    assert "technical answers about sport, by a LoRA of rank 32" in config.intro
    assert "far too short" in config.intro


def test_tuning_and_a_given_weight_exclude_each_other(tmp_path: Path) -> None:
    result = invoke("demo", "--out", tmp_path / "run", "--tune", "--kl-weight", 1)
    assert result.exit_code == 1
    assert "--kl-weight and --tune exclude each other" in result.stderr
    assert not (tmp_path / "run").exists()
