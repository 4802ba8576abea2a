"""Tasks by their ids: what a job array was given still means the same when others have moved on."""

from pathlib import Path

import pytest
from engine_helpers import publish, stage, tiny, training

from narrows.errors import ConfigError
from narrows.study.execution import single
from narrows.study.execution.single import do_tasks, list_banks
from narrows.study.plan.build import Plan
from narrows.study.plan.stage import Stage, Task
from narrows.study.plan.tasks import tasks_of
from narrows.study.stages.bench import Bench
from narrows.study.store import Store


class Array:
    """A made-up study whose tasks are done one by one, each by a process that looks at what is left."""

    def __init__(self, root: Path, *stages: Stage) -> None:
        self.plan = Plan(tiny(), [], {one.id: one for one in stages}, {})
        self.store = Store(root)
        self.did: list[list[str]] = []

    @property
    def left(self) -> list[Task]:
        return tasks_of(self.plan.stages, self.store.finished, 2, lambda recipe: True)

    def do(self, *ids: str) -> list[str]:
        return list(do_tasks(ids, self.plan, self.left, Bench(self.plan.config, self.store)))

    def done(self, task: Task, bench: Bench) -> bool:
        todo = [one for one in task.stages if not self.store.finished(one.id)]
        self.did.append([one.title for one in todo])
        for one in todo:
            publish(self.store, one)
        return True


@pytest.fixture
def array(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Array:
    first = [training(name) for name in "abcd"]
    made = Array(tmp_path, *first, stage("last", *first))
    monkeypatch.setattr(single, "do", made.done)
    return made


def test_tasks_by_their_ids_in_the_order_that_is_asked(array: Array):
    list_banks(array.left, array.store)
    one, two, last = (task.id for task in array.left)
    assert array.do(two, one) == ["c and 1 more in one bank: done.", "a and 1 more in one bank: done."]
    assert array.do(last, one) == ["last: done.", f"{one} is finished already."]
    assert array.did == [["c", "d"], ["a", "b"], ["last"]]


def test_a_bank_means_the_same_when_one_of_another_bank_is_finished(array: Array):
    list_banks(array.left, array.store)
    one, two, _ = (task.id for task in array.left)
    publish(array.store, array.plan.stages[training("a").id])
    assert two not in {task.id for task in array.left}, "what is left is put into banks anew"
    array.do(two)
    array.do(one)
    assert array.did == [["c", "d"], ["b"]]


def test_lists_of_other_moments_stay_good(array: Array):
    list_banks(array.left, array.store)
    before = [task.id for task in array.left]
    publish(array.store, array.plan.stages[training("a").id])
    list_banks(array.left, array.store)
    after = [task.id for task in array.left]
    array.do(*after[:-1], *before)
    assert array.did == [["b", "c"], ["d"], ["last"]]


def test_what_comes_too_early_says_what_it_needs(array: Array):
    last = array.left[-1]
    with pytest.raises(
        ConfigError, match=r"last needs 4 stages that are not finished, training-.*earlier waves"
    ):
        array.do(last.id)


@pytest.mark.parametrize("id_", ["training-0123456789ab", "bank-0123456789ab", "", "../stages"])
def test_an_id_that_is_none_is_refused(array: Array, id_: str):
    with pytest.raises(ConfigError, match="no task or stage"):
        array.do(id_)


def test_a_bank_of_a_study_that_was_changed_is_refused(array: Array, tmp_path: Path):
    list_banks(array.left, array.store)
    one = array.left[0].id
    changed = Array(tmp_path, training("a"), training("e"))
    with pytest.raises(ConfigError, match="no task or stage 'bank-"):
        changed.do(one)
