"""A study on a Ray cluster of two machines on loopback: what fails, dies or is stopped costs no result."""

import json
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from narrows.errors import ConfigError, DataError, NarrowsError, RunFolderError
from narrows.study.config import Resources, StudyConfig, load_study
from narrows.study.execution import cluster
from narrows.study.execution.cluster import Cluster, capacity, joined
from narrows.study.execution.joining import connect, quiet_output
from narrows.study.execution.local import Inline
from narrows.study.execution.remote import seen
from narrows.study.execution.running import open_study, pending, run_study
from narrows.study.execution.scheduling import schedule
from narrows.study.plan.stage import Stage, Task
from narrows.study.results.whole import gather
from narrows.study.stages.bench import Bench
from narrows.study.store import Store

ray = pytest.importorskip("ray", reason="the extra narrows[ray] is not installed")
from ray.cluster_utils import Cluster as Machines  # noqa: E402

SMALLEST = (
    "behaviours.0.world={domains: [sport], phrasings: 1, texts_per_kind: 1}",
    "adapters=[{adapter: steering}]",
    "recipe={layer: 2, learning_rate: 1.0e-3, batch_size: 4, accumulation: 1, steps: 6, max_length: 64}",
    "kl_weights=2",
    "kl_weight=2",
    "mixtures=null",
    "measure={samples: 1, max_new_tokens: 4, rows: 8, norm_points: 2, stability: false, significance: false, "
    "lifted: false, gradients: false, convergence: false}",
    "bank=1",
)
DEADLINE = 90.0


def study(*overrides: str) -> StudyConfig:
    """The smallest study that has a report: two trainings, five tables of answers, one curve."""
    return load_study("microworld-quick", [*SMALLEST, *overrides])


def until(happened: Callable[[], Any]) -> Any:
    """What a condition gives as soon as it gives anything."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        if found := happened():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not happen")


def started(store: Store) -> dict[str, int]:
    """The processes that began a stage and have not ended it, by stage."""
    found = {}
    for line in store.journal():
        if line["event"] == "started":
            found[line["stage"]] = line["process"]
        else:
            found.pop(line["stage"], None)
    return found


def parent(process: int) -> int:
    """The process that made a process; 0 if it is no more."""
    try:
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    except FileNotFoundError:
        return 0


def count(store: Store, event: str) -> dict[str, int]:
    """How often something was noted, by stage."""
    stages = [line["stage"] for line in store.journal() if line["event"] == event]
    return {stage: stages.count(stage) for stage in stages}


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    """A cluster with one machine of one core, joined by this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")  # no token is written into anyone's home
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        head = {"num_cpus": 1, "include_dashboard": False}
        found = Machines(initialize_head=True, head_node_args=head)
        try:
            assert connect(found.address)
            yield found
        finally:
            ray.shutdown()
            found.shutdown()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the smallest study, done by one process, its results kept by URL."""
    folder = tmp_path_factory.mktemp("alone")
    config = study(f"store=file://{folder}/bucket")
    _, outcome = run_study(config, folder / "study", lambda _, store: Inline(Bench(config, store)))
    assert not outcome.failures
    return folder / "study"


@pytest.fixture
def opened(machines: Machines, tmp_path: Path) -> Iterator[tuple[Cluster, Store, list[Task]]]:
    """The cluster at work on a study with a training that does not end by itself."""
    config = study("recipe.steps=100000")
    plan, store = open_study(config, tmp_path / "study")
    team = joined(machines.address, config, store)
    yield team, store, pending(plan, store)
    team.close()


def test_capacity_is_what_fits_on_the_machines_that_are_alive() -> None:
    nodes = [
        {"Alive": True, "Resources": {"CPU": 8.0, "GPU": 2.0, "memory": 64 * 2**30}},
        {"Alive": True, "Resources": {"CPU": 3.0}},
        {"Alive": False, "Resources": {"CPU": 100.0, "GPU": 8.0}},
    ]
    assert capacity(nodes, Resources()) == 11
    assert capacity(nodes, Resources(cpus=2)) == 5
    assert capacity(nodes, Resources(gpus=1)) == 2
    assert capacity(nodes, Resources(gpus=0.5)) == 4
    assert capacity(nodes, Resources(memory_gib=40)) == 1
    assert capacity(nodes, Resources(cpus=16)) == 0
    assert capacity([], Resources()) == 0


def test_a_result_that_is_late_on_a_networks_disk_is_waited_for(tmp_path: Path) -> None:
    store, stop = Store(tmp_path), threading.Event()
    one = Stage("answers", "late", "run", "model", "behaviour", {})
    assert not seen(store, [one.id], 0.1, stop)

    def arrive() -> None:
        store.work(one.id).mkdir(parents=True)
        store.publish(one, {})

    threading.Timer(0.3, arrive).start()
    assert seen(store, [one.id], 10, stop)
    stop.set()
    assert not seen(store, ["answers-of-another"], 10, stop)


def test_a_study_whose_results_are_at_a_url_is_found_from_elsewhere(alone: Path, tmp_path: Path) -> None:
    config = study(f"store=file://{alone.parent}/bucket")
    plan, store = open_study(config, tmp_path / "elsewhere")
    assert pending(plan, store) == []
    gather(plan, store)
    assert numbers(store.root) == numbers(alone)
    fetched = {path.name for path in (store.root / "stages").iterdir()}
    assert fetched == set(plan.decided.values())  # what is not read is not fetched


def test_the_death_of_a_process_is_said_in_our_words() -> None:
    task = Task((Stage("answers", "answers of chat", "run", "model", "behaviour", {}),))
    error = cluster._cause(ray.exceptions.WorkerCrashedError(), task)
    assert type(error) is NarrowsError
    assert "answers of chat died, 4 times in all" in str(error)
    ours = DataError("row 3 is empty")
    assert cluster._cause(ray.exceptions.RayTaskError("do", "", ours, "", 1, "here"), task) is ours
    assert cluster._cause(None, task) is None


def test_an_address_where_nothing_listens_is_said_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening
        with pytest.raises(ConfigError, match="no Ray cluster can be joined"):
            connect(f"127.0.0.1:{taken.getsockname()[1]}")


def test_a_stage_that_fails_comes_back_as_it_failed(opened: tuple[Cluster, Store, list[Task]]) -> None:
    team, store, tasks = opened
    verdicts = next(task for task in tasks if task.stages[0].kind == "verdicts")
    answers = verdicts.stages[0].inputs["answers"]
    store.work(answers).mkdir(parents=True)  # finished, and without its answers
    (store.work(answers) / "stage.json").write_text("{}")
    store.folder(answers).parent.mkdir()
    store.work(answers).rename(store.folder(answers))
    error = team.submit(verdicts).exception(timeout=DEADLINE)
    assert type(error) is DataError
    assert "answers.jsonl" in str(error)
    assert "Traceback" in store.log(verdicts.id).read_text()
    assert count(store, "started") == {verdicts.id: 1}  # a stage that fails is not begun again


def test_a_folder_that_is_not_shared_is_said(opened: tuple[Cluster, Store, list[Task]]) -> None:
    team, store, tasks = opened
    (store.root / "run.json").unlink()
    error = team.submit(tasks[0]).exception(timeout=DEADLINE)
    assert type(error) is RunFolderError
    assert str(store.root) in str(error)


def test_another_version_on_another_machine_is_said(
    machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = study()
    plan, store = open_study(config, tmp_path / "study")
    monkeypatch.setattr(cluster, "version", lambda _: "9.9")
    team = Cluster(config, store, machines.address)
    error = team.submit(pending(plan, store)[0]).exception(DEADLINE)
    team.close()
    assert type(error) is NarrowsError
    assert "9.9" in str(error)


def test_a_stage_whose_process_is_killed_is_begun_again(
    opened: tuple[Cluster, Store, list[Task]],
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    team, store, tasks = opened
    answers = next(task for task in tasks if task.stages[0].kind == "answers" and not task.needs)
    caplog.set_level(logging.DEBUG, "narrows.study.execution.joining")
    with quiet_output():  # the cluster has done so, but pytest changes the output between setup and test
        future = team.submit(answers)
        os.kill(until(lambda: started(store).get(answers.id)), signal.SIGKILL)
        assert future.result(timeout=DEADLINE)
        until(lambda: "3 retries remaining" in caplog.text)  # Ray has told of it, …
    assert capsys.readouterr().out == ""  # … and not there
    assert count(store, "started") == {answers.id: 2}
    assert count(store, "finished") == {answers.id: 1}


def test_what_runs_is_stopped_by_ctrl_c(opened: tuple[Cluster, Store, list[Task]]) -> None:
    team, store, tasks = opened
    endless = [task for task in tasks if task.stages[0].kind == "training"][:1]

    def interrupt() -> None:
        until(lambda: started(store))
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        try:
            schedule(endless, team, store)
        finally:
            team.close()
    (process,) = started(store).values()
    until(lambda: not store.running(endless[0].id))
    until(lambda: parent(process) == 0)
    assert not store.finished(endless[0].id)


def test_more_than_any_machine_has_is_refused(machines: Machines, tmp_path: Path) -> None:
    config = study("resources={cpus: 64, memory_gib: 1}")
    with pytest.raises(ConfigError, match=r"64 CPUs, 0 GPUs and 1 GiB .*: 1 CPUs"):
        Cluster(config, Store(tmp_path), machines.address)
    assert ray.is_initialized()  # it was not this study's to leave


def test_a_machine_dies_in_the_middle_and_the_study_is_the_same(
    machines: Machines, alone: Path, tmp_path: Path
) -> None:
    config = study()
    second = machines.add_node(num_cpus=1)
    raylet = second.all_processes["raylet"][0].process.pid
    teams = []

    def on_the_cluster(_: object, store: Store) -> Cluster:
        teams.append(Cluster(config, store, machines.address))
        assert teams[0].count == 2
        return teams[0]

    store, lost = Store(tmp_path / "cluster"), []

    def die() -> None:
        """Kill the second machine as soon as a stage was begun on it."""
        lost.extend(
            until(lambda: [stage for stage, process in started(store).items() if parent(process) == raylet])
        )
        machines.remove_node(second, allow_graceful=False)

    death = threading.Thread(target=die)
    death.start()
    _, outcome = run_study(config, tmp_path / "cluster", on_the_cluster)
    death.join()
    assert (outcome.failures, outcome.blocked) == ([], [])
    until(lambda: capacity(ray.nodes(), config.resources) == 1)
    begun, ended = count(store, "started"), count(store, "finished")
    assert lost
    assert all(begun[stage] == 2 for stage in lost)
    assert set(begun.values()) <= {1, 2}
    assert set(ended.values()) == {1}
    wanted = numbers(alone)
    assert wanted["claims"]
    assert numbers(tmp_path / "cluster") == wanted


def numbers(folder: Path) -> dict[str, Any]:
    """A study's summary without what was spent on it."""
    found = json.loads((folder / "summary.json").read_text())
    return {name: rows for name, rows in found.items() if name not in ("costs", "timings")}
