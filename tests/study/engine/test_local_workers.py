"""Workers that are processes: one that dies takes only its task with it, and none outlives the study."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import NoReturn

import pytest
from engine_helpers import alone, running_processes, stage, tiny
from filelock import FileLock

from narrows.errors import ConfigError, DataError, NarrowsError
from narrows.study.execution import local
from narrows.study.execution.local import Inline, Processes, local_workers, usual_devices
from narrows.study.execution.scheduling import schedule
from narrows.study.plan.stage import Stage, Task
from narrows.study.stages import doing
from narrows.study.stages.bench import Bench, Done
from narrows.study.store import Store

FORK = multiprocessing.get_context("fork")
"""Workers are forked from a process that has imported; here from this one, so that they have its stages."""

PATIENCE = 20.0


class UnsendableError(Exception):
    """An error that another process cannot make again, as some of the judges' clients raise."""

    def __init__(self, *, status: int) -> None:
        super().__init__(f"status {status}")


def act(one: Stage, bench: Bench) -> Done:
    """Does what a stage's title says."""
    (bench.store.work(one.id) / "worker.txt").write_text(str(os.getpid()))
    if one.title.startswith("hang"):
        time.sleep(600)
    if one.title.startswith("fail"):
        raise DataError(f"{one.title}: no such rows")
    if one.title.startswith("unsendable"):
        raise UnsendableError(status=429)
    return Done()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture
def make(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], Processes]]:
    """Makes workers, and lets them go."""
    monkeypatch.setattr(local, "worker_context", lambda: FORK)
    monkeypatch.setattr(local, "WATCH_SECONDS", 0.05)
    monkeypatch.setitem(doing.DOING, "verdicts", act)
    made = []

    def workers(count: int) -> Processes:
        made.append(Processes(tiny(), store.root, [None] * count, threads=1))
        return made[-1]

    yield workers
    for one in made:
        one.close()


def task(title: str) -> Task:
    return alone(stage(title))[0]


def worker_of(store: Store, task: Task) -> int:
    """The process that does a task; waits until it has begun."""
    path, until = store.work(task.id) / "worker.txt", time.monotonic() + PATIENCE
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < until, f"{task.title} was never begun"
        time.sleep(0.01)
    return int(path.read_text())


def who_did(store: Store, task: Task) -> int:
    return int((store.folder(task.id) / "worker.txt").read_text())


def gone(pids: list[int], seconds: float = PATIENCE) -> bool:
    until = time.monotonic() + seconds
    while running_processes(pids):
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def result(future: "Future[bool]") -> bool:
    return future.result(timeout=PATIENCE)


def test_each_task_is_done_in_a_worker_and_the_worker_stays(store: Store, make: Callable[[int], Processes]):
    team = make(1)
    first, second = task("first"), task("second")
    assert result(team.submit(first)) is True
    assert result(team.submit(second)) is True
    assert who_did(store, first) == who_did(store, second) != os.getpid()


def test_a_killed_worker_fails_its_task_alone_and_the_next_run_goes_on(
    store: Store, make: Callable[[int], Processes]
):
    team = make(2)
    hanging, other, later = task("hang"), task("other"), task("later")
    dying = team.submit(hanging)
    pid = worker_of(store, hanging)
    assert result(team.submit(other)) is True
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(NarrowsError, match="died while it did hang: killed, or out of memory"):
        result(dying)
    assert result(team.submit(later)) is True
    assert not store.finished(hanging.id)
    outcome = schedule([task("next run")], team, store)
    assert outcome.done == 1


def test_a_study_goes_on_around_a_worker_that_is_killed(store: Store, make: Callable[[int], Processes]):
    team = make(2)
    hanging = task("hang")
    others = [task(f"other {place}") for place in range(6)]
    needs_it = alone(stage("needs it", hanging.stages[0]))
    killer = FORK.Process(target=kill_when_begun, args=(store.root, hanging))
    killer.start()
    outcome = schedule([hanging, *others, *needs_it], team, store)
    killer.join()
    assert [one.task.title for one in outcome.failures] == ["hang"]
    assert "died" in outcome.failures[0].error
    assert [one.title for one in outcome.blocked] == ["needs it"]
    assert outcome.done == 6


def kill_when_begun(root: Path, task: Task) -> None:
    os.kill(worker_of(Store(root), task), signal.SIGKILL)


def test_a_worker_that_died_with_nothing_to_do_is_replaced(store: Store, make: Callable[[int], Processes]):
    team = make(1)
    first, second = task("first"), task("second")
    result(team.submit(first))
    pid = who_did(store, first)
    os.kill(pid, signal.SIGKILL)
    assert gone([pid])
    time.sleep(0.2)  # until the pool has noticed
    assert result(team.submit(second)) is True
    assert who_did(store, second) != pid


def test_an_error_comes_back_as_it_was_and_the_worker_stays(store: Store, make: Callable[[int], Processes]):
    team = make(1)
    result(team.submit(task("first")))
    with pytest.raises(DataError, match="fail: no such rows"):
        result(team.submit(task("fail")))
    # An error that cannot be read here would look like the worker's death.
    with pytest.raises(NarrowsError, match="UnsendableError: status 429"):
        result(team.submit(task("unsendable")))
    last = task("last")
    result(team.submit(last))
    assert who_did(store, last) == who_did(store, task("first"))
    assert "Traceback" in store.log(task("unsendable").id).read_text()


def test_closing_stops_whatever_they_do(store: Store, make: Callable[[int], Processes]):
    team = make(2)
    hanging = [task("hang"), task("hang too")]
    for one in hanging:
        team.submit(one)
    pids = [worker_of(store, one) for one in hanging]
    team.close()
    assert gone(pids)
    assert store.journal()[-1]["event"] == "started"


class Interrupted(FORK.Process):  # type: ignore[name-defined, misc]
    """A process during whose begin Ctrl-C comes."""

    def start(self) -> None:
        super().start()
        os.kill(os.getpid(), signal.SIGINT)


class InterruptedContext(type(FORK)):  # type: ignore[misc]
    Process = Interrupted


def test_ctrl_c_while_a_worker_is_begun_leaves_none_behind(
    store: Store, make: Callable[[int], Processes], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(local, "worker_context", InterruptedContext)
    team, hanging = make(1), task("hang")
    with pytest.raises(KeyboardInterrupt):
        team.submit(hanging)
    pid = worker_of(store, hanging)
    team.close()
    assert gone([pid])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def begin_and_hang(root: Path, hanging: Task) -> NoReturn:
    """A study's process: gives its worker something to do and never looks at it again."""
    team = Processes(tiny(), root, [None], threads=1)
    team.submit(hanging)
    time.sleep(600)
    raise AssertionError


def test_no_worker_outlives_a_study_that_is_killed(store: Store, make: Callable[[int], Processes]):
    hanging = task("hang")
    study = FORK.Process(target=begin_and_hang, args=(store.root, hanging))
    study.start()
    pid = worker_of(store, hanging)
    assert running_processes([pid]) == [pid]
    os.kill(study.pid or 0, signal.SIGKILL)
    study.join()
    assert gone([pid])
    with FileLock(store.root / "locks" / f"{hanging.id}.lock", blocking=False):
        pass  # the lock of a dead worker is free


def test_a_single_worker_is_this_process(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(doing.DOING, "verdicts", act)
    team = local_workers(tiny(), store, workers=1)
    assert isinstance(team, Inline)
    first = task("first")
    assert result(team.submit(first)) is True
    assert who_did(store, first) == os.getpid()
    assert isinstance(team.submit(task("fail")).exception(), DataError)


def test_how_many_workers_there_are(store: Store, monkeypatch: pytest.MonkeyPatch):
    import torch

    monkeypatch.setattr(local, "cores", lambda: 6)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert usual_devices(None, None) == [None] * 6
    assert usual_devices(2, None) == [None] * 2
    assert usual_devices(2, "cpu") == ["cpu"] * 2
    assert usual_devices(None, "cuda:1") == ["cuda:1"]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert usual_devices(None, None) == ["cuda:0", "cuda:1"]
    assert usual_devices(3, None) == ["cuda:0", "cuda:1", "cuda:0"]
    with pytest.raises(ConfigError, match="workers is 0"):
        usual_devices(0, None)
