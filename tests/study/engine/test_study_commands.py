"""``narrows study`` from the command line: plan, run, status, show, report, stage, presets."""

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from engine_helpers import QUICK, TINY, journal, plain_summary, running_processes, study_command, tiny
from typer.testing import CliRunner, Result

import narrows.report
from command_process import CommandProcess
from narrows.cli import app
from narrows.study.config import preset_names
from narrows.study.stages import doing

Command = Callable[..., Result]
STAGES = 13


def kinds(stages: list[str]) -> set[str]:
    return {one.rpartition("-")[0] for one in stages}


@pytest.fixture(autouse=True)
def _no_figures(monkeypatch: pytest.MonkeyPatch, finished: Path) -> None:
    """The page is drawn once, for the finished study; it has tests of its own."""

    def quickly(out: Path) -> Path:
        assert (out / "summary.json").exists()
        (out / "report.html").write_text("a page")
        return out / "report.html"

    monkeypatch.setattr(narrows.report, "write_report", quickly)


def test_a_plan_says_what_would_be_done_and_does_nothing(command: Command, tmp_path: Path):
    out = tmp_path / "new"
    values = json.loads(command("plan", "--out", out, "--json", "--workers", 2).stdout)
    assert values["study"] == QUICK
    assert values["runs"] == ["microworld-1.harmful-garden.steering"]
    assert len(values["stages"]) == STAGES
    assert not any(one["finished"] for one in values["stages"])
    assert sorted(id_ for task in values["tasks"] for id_ in task["stages"]) == sorted(
        one["id"] for one in values["stages"]
    )
    assert values["estimate"]["trainings"] == 2
    assert values["estimate"]["workers"] == 2
    assert not (out / "stages").exists()
    words = command("plan", "--out", out, "--workers", 2).stdout
    assert f"1 runs, 13 stages, 0 finished; {len(values['tasks'])} tasks left" in words
    assert "Estimate for what is left: 2 trainings" in words


def test_tasks_of_a_wave_need_only_those_of_earlier_waves(command: Command, tmp_path: Path):
    values = json.loads(command("plan", "--out", tmp_path / "new", "--json").stdout)
    lines = command("plan", "--out", tmp_path / "new", "--tasks").stdout.splitlines()
    listed = [(int(wave), id_) for wave, id_, _ in (line.split(" ", 2) for line in lines)]
    assert listed == [(task["wave"], task["id"]) for task in values["tasks"]]
    assert [wave for wave, _ in listed] == sorted(wave for wave, _ in listed)
    needs = {
        one["id"]: set(one["inputs"].values())
        for one in json.loads((tmp_path / "new" / "plan.json").read_text())["stages"]
    }
    wave_of = {id_: task["wave"] for task in values["tasks"] for id_ in task["stages"]}
    for id_, wave in wave_of.items():
        # As early as can be, too: wave 0 waits for nothing, any other for something of the one before.
        assert wave == 1 + max((wave_of[need] for need in needs[id_]), default=-1)


def test_a_finished_study_is_found_finished(command: Command, finished: Path):
    assert len(journal(finished)) == len(set(journal(finished))) == STAGES
    assert (finished / "report.html").exists()
    assert command("plan", "--out", finished, "--tasks").stdout == ""
    values = json.loads(command("plan", "--out", finished, "--json").stdout)
    assert (values["tasks"], values["estimate"]["kinds"]) == ([], {})
    assert "Nothing is left to do." in command("plan", "--out", finished).stdout
    again = json.loads(command("run", "--out", finished, "--json").stdout)
    assert (again["done"], again["failed"], again["blocked"]) == (0, [], [])
    assert again["report"] == str(finished / "report.html")
    assert len(journal(finished)) == STAGES


def test_status_says_how_far_it_is(command: Command, finished: Path, tmp_path: Path):
    values = json.loads(command("status", "--out", finished, "--json").stdout)
    assert (values["stages"], values["finished"], values["running"], values["failed"]) == (
        STAGES,
        STAGES,
        [],
        [],
    )
    assert values["runs"] == {"microworld-1.harmful-garden.steering": True}
    nowhere = json.loads(command("status", "--out", tmp_path / "nowhere", "--json").stdout)
    assert (nowhere["finished"], nowhere["runs"]) == (0, {"microworld-1.harmful-garden.steering": False})
    assert not (tmp_path / "nowhere").exists(), "looking leaves nothing behind"


def test_show_prints_the_effective_study(command: Command):
    assert json.loads(command("show", "--json").stdout) == tiny().model_dump(mode="json")
    shown = yaml.safe_load(command("show", overrides=("measure.samples=3",)).stdout)
    assert shown["measure"]["samples"] == 3
    assert shown["recipe"]["steps"] == 2


def test_presets_are_listed():
    result = CliRunner().invoke(app, ["study", "presets", "--json"])
    assert [one["name"] for one in json.loads(result.stdout)] == preset_names()
    words = CliRunner().invoke(app, ["study", "presets"]).stdout
    assert all(name in words for name in preset_names())


def test_a_changed_study_does_only_what_rests_on_the_change(command: Command, begun: Callable[..., Path]):
    out = begun()
    changed = json.loads(
        command("run", "--out", out, "--json", "--workers", 1, overrides=("measure.draws=3",)).stdout
    )
    assert changed["done"] == 2
    assert kinds(journal(out)) == {"stability", "claims"}
    assert yaml.safe_load((out / "study.yaml").read_text())["measure"]["draws"] == 3
    # And back again: all of it is still there.
    assert json.loads(command("run", "--out", out, "--json").stdout)["done"] == 0


def test_a_stage_that_fails_is_named_with_its_log_and_loses_nothing(
    command: Command, begun: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
):
    out = begun("efficiency", "stability", "claims")

    def failing(*arguments: object) -> None:
        raise ValueError("no such norm")

    with monkeypatch.context() as patch:
        patch.setitem(doing.DOING, "efficiency", failing)
        result = command("run", "--out", out, "--workers", 1, code=1)
        values = json.loads(command("run", "--out", out, "--workers", 1, "--json", code=1).stdout)
    log = next(line for line in result.stdout.splitlines() if "log:" in line).split("log:")[1].strip()
    assert (
        "Failed: efficiency · microworld-1.harmful-garden.steering: ValueError: no such norm" in result.stdout
    )
    assert "ValueError: no such norm" in Path(log).read_text()
    assert "Not begun, since they need what failed: 1 tasks." in result.stdout
    assert kinds(journal(out)) == {"stability"}
    assert [one["error"] for one in values["failed"]] == ["ValueError: no such norm"]
    assert (values["done"], len(values["blocked"]), values["report"]) == (0, 1, None)
    assert json.loads(command("status", "--out", out, "--json").stdout)["failed"] == [
        values["failed"][0]["task"]
    ]
    assert not (out / "summary.json").exists(), "no run is decided"
    assert json.loads(command("run", "--out", out, "--workers", 1, "--json").stdout)["done"] == 2
    assert json.loads(command("status", "--out", out, "--json").stdout)["failed"] == []


def test_no_page_of_an_earlier_form_of_the_study(
    command: Command, begun: Callable[..., Path], finished: Path, monkeypatch: pytest.MonkeyPatch
):
    out = begun()
    command("report", "--out", out)

    def failing(*arguments: object) -> None:
        raise ValueError("no")

    monkeypatch.setitem(doing.DOING, "stability", failing)
    changed = ("run", "--out", out, "--workers", 1, "--json")
    values = json.loads(command(*changed, overrides=("measure.draws=4",), code=1).stdout)
    assert values["report"] is None
    result = command("report", "--out", out, overrides=("measure.draws=4",), code=1)
    assert "no run of the study" in result.output


def test_an_array_of_tasks_wave_by_wave_comes_to_the_same_summary(
    command: Command, finished: Path, begun: Callable[..., Path]
):
    out = begun("training", "answers", "verdicts", "efficiency", "stability", "claims")
    lines = command("plan", "--out", out, "--tasks").stdout.splitlines()
    waves: dict[str, list[str]] = {}
    for line in lines:
        wave, id_, _ = line.split(" ", 2)
        waves.setdefault(wave, []).append(id_)
    assert len(waves) == 4
    last = list(waves.values())[-1]
    early = command("stage", *last, "--out", out, code=1)
    assert "needs" in early.output
    assert "earlier waves" in early.output
    for ids in waves.values():
        command("stage", *ids, "--out", out)
    assert len(journal(out)) == STAGES
    assert "is finished already" in command("stage", *last, "--out", out).output
    first = waves["0"][0]
    assert f"{first} is finished already" in command("stage", first, "--out", out).output
    command("report", "--out", out)
    assert plain_summary(out) == plain_summary(finished)


def test_a_stage_that_is_not_of_the_study_is_refused(command: Command, finished: Path):
    result = command("stage", "training-0123456789ab", "--out", finished, code=1)
    assert "no task or stage 'training-0123456789ab'" in result.output


def test_a_folder_with_something_else_is_left_alone(command: Command, tmp_path: Path):
    (tmp_path / "mine.txt").write_text("mine")
    for name in ("run", "plan"):
        assert "is not empty" in command(name, "--out", tmp_path, code=1).output
    command("report", "--out", tmp_path, code=1)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_damage_in_a_result_names_its_file(command: Command, begun: Callable[..., Path]):
    out = begun()
    (claims,) = (folder for folder in (out / "stages").iterdir() if folder.name.startswith("claims"))
    (claims / "summary.json").write_text("{")
    result = command("report", "--out", out, code=1)
    assert str(claims / "summary.json") in result.output


def started(out: Path, said: Path, *more: object) -> CommandProcess:
    """The tiny study's run as a process group of its own."""
    return CommandProcess(study_command(QUICK, out, *more, overrides=TINY), said)


def group_of(leader: int) -> list[int]:
    """Processes of a group."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == leader:
            found.append(int(folder.name))
    return running_processes(found)


def test_two_runs_in_one_folder_do_each_stage_once(
    finished: Path, begun: Callable[..., Path], tmp_path: Path
):
    out = begun("verdicts", "efficiency", "stability", "claims")
    runs = [started(out, tmp_path / f"said-{place}", "--workers", 1, "--json") for place in range(2)]
    for one in runs:
        assert one.wait() == 0, one.stderr
        assert json.loads(one.stdout)["failed"] == []
    assert len(journal(out)) == len(set(journal(out))) == 7
    assert plain_summary(out) == plain_summary(finished)


def test_ctrl_c_stops_everything_and_keeps_what_is_finished(tmp_path: Path):
    out = tmp_path / "stopped"
    run = started(out, tmp_path / "said", "--workers", 2)
    run.wait_until(lambda: journal(out, "started"))
    assert len(group_of(run.pid)) >= 2, "it has workers"
    run.send(signal.SIGINT)
    assert run.wait(60) == 130
    assert "goes on" in run.stderr
    assert "Traceback" not in run.stderr
    assert str(out) in run.stderr
    until = time.monotonic() + 10
    while group_of(run.pid):
        assert time.monotonic() < until, "a worker is left"
        time.sleep(0.05)
    finished = {one.name for one in (out / "stages").iterdir()} if (out / "stages").exists() else set()
    assert set(journal(out)) <= finished
