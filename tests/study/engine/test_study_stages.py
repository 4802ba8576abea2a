"""Doing tasks: what is published, noted and logged when all goes well, and when it does not."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from engine_helpers import alone, stage, tiny, training

from narrows.adapters import SteeringVector
from narrows.adapters.files import ADAPTER_FILE
from narrows.errors import DataError, RunFolderError, TrainingError
from narrows.study.plan.build import plan_study
from narrows.study.plan.stage import Stage, Task
from narrows.study.stages import doing
from narrows.study.stages import training as training_module
from narrows.study.stages.bench import Bench, Done
from narrows.study.stages.doing import do
from narrows.study.store import Store
from narrows.training.ready import LOG_FILE


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tiny(), Store(tmp_path), "cpu")


def events(store: Store) -> list[tuple[str, str]]:
    return [(line["event"], line["stage"]) for line in store.journal()]


def acting(monkeypatch: pytest.MonkeyPatch, act: Callable[[Stage, Bench], Done]) -> None:
    monkeypatch.setitem(doing.DOING, "verdicts", act)


@pytest.mark.parametrize("level", [logging.NOTSET, logging.WARNING])
def test_a_stage_that_is_done_is_noted_and_its_cost_kept(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, level: int
):
    (task,) = alone(stage("one"))
    caplog.set_level(level, "narrows")

    def act(one: Stage, at: Bench) -> Done:
        logging.getLogger("narrows.somewhere").info("looking at λ")
        (at.store.work(one.id) / "found.txt").write_text("x")
        return Done(tokens=7)

    acting(monkeypatch, act)
    assert do(task, bench) is True
    assert events(bench.store) == [("started", task.id), ("finished", task.id)]
    facts = bench.store.facts(task.id)
    assert facts["tokens"] == 7
    assert facts["threads"] == torch.get_num_threads()
    assert facts["peak_memory"] > 2**20
    assert facts["versions"]["torch"] == torch.__version__
    assert "looking at λ" in bench.store.log(task.id).read_text(encoding="utf-8")
    assert do(task, bench) is True
    assert len(events(bench.store)) == 2, "what is finished is not begun again"


def test_a_stage_that_fails_leaves_its_log_its_work_and_nothing_else(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    (task,) = alone(stage("one"))
    handlers, level = list(logging.getLogger("narrows").handlers), logging.getLogger("narrows").level

    def act(one: Stage, at: Bench) -> Done:
        (at.store.work(one.id) / "half.txt").write_text("half")
        raise ValueError("what it met")

    acting(monkeypatch, act)
    with pytest.raises(ValueError, match="what it met"):
        do(task, bench)
    assert events(bench.store) == [("started", task.id), ("failed", task.id)]
    log = bench.store.log(task.id).read_text()
    assert "Traceback" in log
    assert "ValueError: what it met" in log
    assert not bench.store.finished(task.id)
    assert (bench.store.work(task.id) / "half.txt").exists(), "it is taken up again from there"
    assert logging.getLogger("narrows").handlers == handlers
    assert logging.getLogger("narrows").level == level
    acting(monkeypatch, lambda one, at: Done())
    assert do(task, bench) is True, "its lock is free"


def test_ctrl_c_is_no_failure(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    (task,) = alone(stage("one"))

    def act(one: Stage, at: Bench) -> Done:
        raise KeyboardInterrupt

    acting(monkeypatch, act)
    with pytest.raises(KeyboardInterrupt):
        do(task, bench)
    assert events(bench.store) == [("started", task.id), ("stopped", task.id)]


def test_a_result_that_cannot_be_written_is_a_failure_with_a_log(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    (task,) = alone(stage("one"))
    acting(monkeypatch, lambda one, at: Done())

    def full(self: Store, one: Stage, facts: object) -> None:
        raise RunFolderError("the disk is full")

    monkeypatch.setattr(Store, "publish", full)
    with pytest.raises(RunFolderError, match="the disk is full"):
        do(task, bench)
    assert events(bench.store)[-1] == ("failed", task.id)
    assert "the disk is full" in bench.store.log(task.id).read_text()


def test_a_full_disk_does_not_hide_what_went_wrong(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    (task,) = alone(stage("one"))

    def act(one: Stage, at: Bench) -> Done:
        def full(*arguments: object, **facts: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Store, "note", full)
        raise DataError("what it met")

    acting(monkeypatch, act)
    with pytest.raises(DataError, match="what it met"):
        do(task, bench)


def trainings(bench: Bench) -> list[Stage]:
    """The unanchored training of the tiny study, and two that differ in their rate."""
    plan = plan_study(bench.config)
    one = next(one for one in plan.stages.values() if one.title.startswith("unanchored"))
    return [one, *(with_rate(one, rate) for rate in (0.002, 0.003))]


def with_rate(one: Stage, rate: float) -> Stage:
    recipe = {**one.settings["recipe"], "learning_rate": rate}
    return replace(one, title=f"at rate {rate:g}", settings={**one.settings, "recipe": recipe})


def test_a_member_that_diverges_costs_its_bank_nothing(bench: Bench):
    first, second, _ = trainings(bench)
    diverging = with_rate(first, 1e38)
    task = Task((first, diverging, second))
    with pytest.raises(TrainingError, match=r"at rate 1e\+38: .*not finite.* The other 2 trainings"):
        do(task, bench)
    assert [bench.store.finished(one.id) for one in task.stages] == [True, False, True]
    assert sorted(events(bench.store)[3:]) == sorted(
        [("finished", first.id), ("finished", second.id), ("failed", diverging.id)]
    )
    facts = [bench.store.facts(one.id) for one in (first, second)]
    assert [one["trainings"] for one in facts] == [1, 1]
    assert facts[0]["seconds"] == facts[1]["seconds"] > 0
    # The next run does what is left: the diverging one alone.
    with pytest.raises(TrainingError, match="not finite"):
        do(task, bench)
    assert events(bench.store)[6:] == [("started", diverging.id), ("failed", diverging.id)]
    alone_in = Bench(bench.config, Store(bench.store.root / "alone"), "cpu")
    do(Task((first,)), alone_in)
    one, other = (at.adapter(stage("x", first), "input-0").effective_norm for at in (bench, alone_in))
    assert one > 0
    assert one == pytest.approx(other, rel=1e-4)


class Trainer:
    """Stands in for training: banks fail as told, trainings alone fail for some."""

    def __init__(self, bank_error: Exception, finished: int = 0, wrong: set[str] = frozenset()) -> None:  # type: ignore[assignment]
        self.bank_error, self.finished, self.wrong = bank_error, finished, wrong
        self.alone: list[str] = []

    def put_in(self, monkeypatch: pytest.MonkeyPatch) -> "Trainer":
        monkeypatch.setattr(training_module, "_train_bank", self.bank)
        monkeypatch.setattr(training_module, "_train_alone", self.one)
        return self

    def bank(self, stages: list[Stage], bench: Bench) -> None:
        for one in stages[: self.finished]:
            self.write(one, bench)
        raise self.bank_error

    def one(self, one: Stage, bench: Bench) -> None:
        self.alone.append(one.title)
        if one.title in self.wrong:
            raise DataError(f"{one.title}: too few rows")
        self.write(one, bench)

    def write(self, one: Stage, bench: Bench) -> None:
        folder = bench.store.work(one.id) / "training"
        folder.mkdir(parents=True, exist_ok=True)
        SteeringVector(torch.ones(4), 1, 2.0).save(folder / ADAPTER_FILE)
        (folder / LOG_FILE).write_text("")


@pytest.mark.parametrize("error", [MemoryError("no room"), DataError("b: too few rows")])
def test_what_fails_in_company_is_trained_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, error: Exception
):
    stages = [training(name) for name in "abcd"]
    trainer = Trainer(error, finished=1, wrong={"b"}).put_in(monkeypatch)
    with pytest.raises(DataError, match="b: too few rows"):
        do(Task(tuple(stages)), bench)
    assert trainer.alone == ["b", "c", "d"], "the one that the bank finished is not trained again"
    assert [bench.store.finished(one.id) for one in stages] == [True, False, True, True]
    assert events(bench.store)[-1] == ("failed", stages[1].id)
    assert "done alone" in bench.store.log(Task(tuple(stages)).id).read_text()


def test_a_bank_that_does_not_fit_is_a_success_if_its_trainings_alone_do(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    stages = [training(name) for name in "abc"]
    trainer = Trainer(MemoryError("no room")).put_in(monkeypatch)
    assert do(Task(tuple(stages)), bench) is True
    assert trainer.alone == ["a", "b", "c"]
    assert all(bench.store.finished(one.id) for one in stages)


def test_hundreds_of_stages_leave_nothing_behind(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    acting(monkeypatch, lambda one, at: Done())
    monkeypatch.setattr(doing.summarising, "versions", dict[str, Any])
    handlers = list(logging.getLogger("narrows").handlers)
    files = len(list(Path("/proc/self/fd").iterdir()))
    for task in alone(*(stage(f"stage {place}") for place in range(300))):
        do(task, bench)
    assert logging.getLogger("narrows").handlers == handlers
    assert len(list(Path("/proc/self/fd").iterdir())) <= files + 2
    assert not list((bench.store.root / "work").iterdir())
