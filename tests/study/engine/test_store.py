"""Results of stages on disk: whole or not there, made once by however many processes, damage named."""

import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest
from engine_helpers import alone, held_elsewhere, publish, stage, tiny

from narrows.errors import DataError, RunFolderError
from narrows.study.plan.stage import Stage
from narrows.study.stages import doing
from narrows.study.stages.bench import Bench, Done
from narrows.study.store import DONE, Store

FORK = multiprocessing.get_context("fork")  # children have what the test has put in place


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "study")


def test_a_result_is_there_when_it_is_whole_and_says_what_it_was(store: Store):
    one = stage("one", rows=8)
    store.work(one.id).mkdir(parents=True)
    (store.work(one.id) / "result.txt").write_text("half")
    (store.work(one.id) / DONE).write_text("{}")
    assert not store.finished(one.id), "nothing is finished before it has its place"
    publish(store, one, "whole")
    assert store.finished(one.id)
    assert not store.work(one.id).exists()
    facts = store.facts(one.id)
    assert facts["seconds"] == 1.0
    assert Stage.from_json({name: facts[name] for name in one.as_json()}) == one


def test_publishing_again_leaves_the_first_result(store: Store):
    one = stage("one")
    publish(store, one, "first")
    for other in (store, Store(store.root)):
        publish(other, one, "second")
        assert (store.folder(one.id) / "result.txt").read_text() == "first"
        assert not store.work(one.id).exists()


def test_a_folder_that_is_no_result_is_not_taken_for_one(store: Store):
    one = stage("one")
    store.folder(one.id).mkdir(parents=True)
    (store.folder(one.id) / "stranger.txt").write_text("")
    assert not store.finished(one.id)
    with pytest.raises(RunFolderError, match=one.id):
        publish(store, one)


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"seconds": NaN}'])
def test_damaged_facts_name_their_file_and_the_way_out(store: Store, damage: str):
    one = stage("one")
    publish(store, one)
    (store.folder(one.id) / DONE).write_text(damage)
    with pytest.raises(DataError, match=rf"{one.id}/{DONE}.*Remove the stage's folder"):
        store.facts(one.id)


def test_a_study_in_a_folder_of_any_name(tmp_path: Path):
    store = Store(tmp_path / "étude λ · 研究")
    one = stage("ä title · with λ")
    store.note("started", one.id)
    publish(store, one, "ø")
    assert Store(store.root).finished(one.id)
    assert store.journal()[0]["stage"] == one.id


def count_to(root: Path, number: int) -> None:
    store = Store(root)
    for place in range(200):
        store.note("finished", f"{number}-{place}", filling="x" * (place % 60))


def test_lines_of_several_processes_do_not_mix(store: Store):
    processes = [FORK.Process(target=count_to, args=(store.root, number)) for number in range(4)]
    for one in processes:
        one.start()
    for one in processes:
        one.join(60)
        assert one.exitcode == 0
    lines = (store.root / "journal.jsonl").read_text().splitlines()
    stages = [json.loads(line)["stage"] for line in lines if line]
    assert [line["stage"] for line in store.journal()] == stages
    assert sorted(stages) == sorted(f"{number}-{place}" for number in range(4) for place in range(200))
    for number in range(4):  # each process's own are in order
        mine = [one for one in stages if one.startswith(f"{number}-")]
        assert mine == [f"{number}-{place}" for place in range(200)]


def test_a_line_that_was_cut_short_costs_no_other(store: Store):
    store.note("started", "one")
    path = store.root / "journal.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + whole[: len(whole) // 2])
    store.note("finished", "one")
    assert [line["event"] for line in store.journal()] == ["started", "finished"]


def do_all(root: Path, names: range, results: Path) -> None:
    """Try to do every stage; goes on until all are finished."""
    bench = Bench(tiny(), Store(root))
    stages = [stage(f"stage {place}") for place in names]
    while not all(bench.store.finished(one.id) for one in stages):
        for task in alone(*stages):
            doing.do(task, bench)


def test_three_processes_in_one_folder_do_each_stage_once(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    done = tmp_path / "done.txt"

    def noted(one: Stage, bench: Bench) -> Done:
        with done.open("a") as file:
            file.write(f"{one.title}\n")
        time.sleep(0.01)
        (bench.store.work(one.id) / "result.txt").write_text(f"{os.getpid()}")
        return Done()

    monkeypatch.setitem(doing.DOING, "verdicts", noted)
    processes = [FORK.Process(target=do_all, args=(store.root, range(20), done)) for _ in range(3)]
    for one in processes:
        one.start()
    for one in processes:
        one.join(60)
        assert one.exitcode == 0
    assert sorted(done.read_text().splitlines()) == sorted(f"stage {place}" for place in range(20))
    finished = [line for line in store.journal() if line["event"] == "finished"]
    assert len(finished) == len({line["stage"] for line in finished}) == 20
    assert len({line["process"] for line in finished}) > 1, "one process did all: nothing was shown"


def hold_for_ever(root: Path, ready: Path) -> None:
    with held_elsewhere(Store(root), alone(stage("one"))[0]):
        ready.touch()
        time.sleep(600)


def test_a_lock_falls_free_when_its_holder_is_killed(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(doing.DOING, "verdicts", lambda one, bench: Done())
    bench = Bench(tiny(), store)
    (task,) = alone(stage("one"))
    holder = FORK.Process(target=hold_for_ever, args=(store.root, tmp_path / "ready"))
    holder.start()
    while not (tmp_path / "ready").exists():
        time.sleep(0.01)
    assert doing.do(task, bench) is False
    assert store.journal() == [], "what another process does is not begun here"
    os.kill(holder.pid or 0, signal.SIGKILL)
    holder.join(10)
    assert doing.do(task, bench) is True
    assert store.finished(task.id)
