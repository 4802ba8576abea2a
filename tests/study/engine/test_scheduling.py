"""The scheduler with made-up tasks: order, failures, other processes, and how much is done at once."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from engine_helpers import Threads, alone, held_elsewhere, publish, stage, training

from narrows.errors import TrainingError
from narrows.study.execution import scheduling
from narrows.study.execution.scheduling import schedule
from narrows.study.plan.stage import Stage, Task
from narrows.study.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduling, "POLL_SECONDS", 0.02)


def publishing(store: Store, seconds: float = 0.0, failing: set[str] = frozenset()) -> Callable[[Task], bool]:  # type: ignore[assignment]
    """Does a task: publishes its stages, or fails; refuses to begin before what it needs is there."""

    def behave(task: Task) -> bool:
        assert all(map(store.finished, task.needs)), f"{task.title} was begun too early"
        time.sleep(seconds)
        if task.title in failing:
            raise ValueError(f"{task.title} is wrong")
        for one in task.stages:
            publish(store, one)
        return True

    return behave


def layers() -> list[Stage]:
    """Twelve stages: four, then four that need one or two of them, then four that need those."""
    first = [stage(f"first {place}") for place in range(4)]
    second = [stage(f"second {place}", first[place], first[place - 1]) for place in range(4)]
    third = [stage(f"third {place}", second[place], first[0]) for place in range(4)]
    return [*first, *second, *third]


@pytest.mark.parametrize("count", [1, 3])
def test_everything_is_done_once_in_order_and_by_all_workers(store: Store, count: int):
    stages = layers()
    team = Threads(count, publishing(store, 0.03))
    outcome = schedule(alone(*stages), team, store)
    assert sorted(team.begun) == sorted(one.title for one in stages)
    assert team.most == count
    assert (outcome.done, outcome.failures, outcome.blocked) == (12, [], [])
    assert all(store.finished(one.id) for one in stages)


def test_what_fails_holds_up_only_what_needs_it(store: Store):
    stages = layers()
    team = Threads(2, publishing(store, failing={"first 1"}))
    outcome = schedule(alone(*stages), team, store)
    assert [(one.task.title, one.error) for one in outcome.failures] == [
        ("first 1", "ValueError: first 1 is wrong")
    ]
    assert {task.title for task in outcome.blocked} == {"second 1", "second 2", "third 1", "third 2"}
    assert outcome.done == 7
    assert not {"second 1", "third 2"} & set(team.begun)


def test_of_a_bank_that_fails_only_what_was_not_finished_holds_others_up(store: Store):
    good, bad = training("good"), training("bad")
    after_good, after_bad = stage("after good", good), stage("after bad", bad)

    def behave(task: Task) -> bool:
        if len(task.stages) == 1:
            return publishing(store)(task)
        publish(store, good)
        raise TrainingError("bad diverged")

    tasks = [Task((good, bad)), *alone(after_good, after_bad)]
    outcome = schedule(tasks, Threads(2, behave), store)
    assert [one.error for one in outcome.failures] == ["TrainingError: bad diverged"]
    assert [task.title for task in outcome.blocked] == ["after bad"]
    assert outcome.done == 2
    assert store.finished(after_good.id)


def test_a_task_of_another_process_is_waited_for_and_not_done_again(store: Store):
    first, second = stage("first"), stage("second")
    last = stage("last", first, second)
    (theirs,) = alone(first)
    with held_elsewhere(store, theirs) as let_go:

        def finish_elsewhere() -> None:
            publish(store, first, "theirs")
            let_go()

        threading.Timer(0.2, finish_elsewhere).start()
        team = Threads(2, lambda task: False if task == theirs else publishing(store)(task))
        outcome = schedule([theirs, *alone(second, last)], team, store)
    assert team.begun == ["first", "second", "last"]
    assert outcome.done == 2, "what another process did is not ours"
    assert (store.folder(first.id) / "result.txt").read_text() == "theirs"


def test_a_task_that_another_process_gave_up_is_taken_up_again(store: Store):
    first, last = stage("first"), stage("last")
    last = stage("last", first)
    (theirs,) = alone(first)
    with held_elsewhere(store, theirs) as let_go:
        free = threading.Event()
        threading.Timer(0.2, lambda: (let_go(), free.set())).start()

        def behave(task: Task) -> bool:
            if task == theirs and not free.is_set():
                return False
            return publishing(store)(task)

        team = Threads(1, behave)
        outcome = schedule([theirs, *alone(last)], team, store)
    assert team.begun == ["first", "first", "last"]
    assert outcome.done == 2


def test_a_given_up_task_that_fails_here_blocks_what_needs_it(store: Store):
    first = stage("first")
    tries = []

    def behave(task: Task) -> bool:
        tries.append(task.title)
        if len(tries) == 1:
            return False  # and nobody holds its lock
        raise ValueError("no")

    outcome = schedule(alone(first, stage("last", first)), Threads(2, behave), store)
    assert tries == ["first", "first"]
    assert [task.title for task in outcome.blocked] == ["last"]


def test_what_another_process_finished_in_the_meantime_is_not_begun_here(store: Store):
    first, theirs = stage("first"), stage("theirs")
    last = stage("last", first, theirs)

    def behave(task: Task) -> bool:
        if task.title == "first":
            publish(store, theirs)  # as another process does meanwhile
        return publishing(store)(task)

    team = Threads(1, behave)
    outcome = schedule(alone(first, theirs, last), team, store)
    assert team.begun == ["first", "last"]
    assert outcome.done == 2


def test_waiting_for_another_process_keeps_no_core_busy(store: Store, monkeypatch: pytest.MonkeyPatch):
    (theirs,) = alone(stage("first"))
    looks = []
    finished = Store.finished
    monkeypatch.setattr(Store, "finished", lambda self, one: looks.append(one) or finished(self, one))
    with held_elsewhere(store, theirs) as let_go:
        threading.Timer(0.4, lambda: (publish(store, theirs.stages[0]), let_go())).start()
        schedule([theirs], Threads(1, lambda task: False), store)
    assert 3 <= len(looks) <= 80  # every 0.02 s, a few looks each; a busy loop makes thousands


def test_what_nothing_left_can_free_ends_the_study_and_is_told(store: Store):
    lost = stage("a result that was taken away")
    outcome = schedule(alone(stage("other"), stage("orphan", lost)), Threads(1, publishing(store)), store)
    assert [task.title for task in outcome.blocked] == ["orphan"]
    assert outcome.done == 1


def test_a_cluster_that_loses_machines_is_given_no_more_than_it_can_do(store: Store):
    team = Threads(4, publishing(store, 0.05))
    publish_it = team._behave

    def shrinking(task: Task) -> bool:
        team.count = 1
        return publish_it(task)

    team._behave = shrinking
    stages = [stage(f"stage {place}") for place in range(9)]
    outcome = schedule(alone(*stages), team, store)
    assert outcome.done == 9
    assert sorted(team.begun) == sorted(one.title for one in stages)
    assert team.most <= 4
