"""Tasks: which trainings share a bank, and that nothing in one waits for anything else in it."""

from collections.abc import Mapping

import pytest
from engine_helpers import QUICK, stage, training

from narrows.study.config import load_study
from narrows.study.plan.build import plan_study
from narrows.study.plan.stage import Stage, Task
from narrows.study.plan.tasks import tasks_of
from narrows.training import Recipe, bank_key


def tasks(
    stages: list[Stage],
    *,
    bank: int = 16,
    finished: set[str] = frozenset(),
    pays: bool = True,  # type: ignore[assignment]
) -> list[Task]:
    return tasks_of({one.id: one for one in stages}, finished.__contains__, bank, lambda recipe: pays)


def titles(found: list[Task]) -> list[list[str]]:
    return [[one.title for one in task.stages] for task in found]


def test_trainings_that_agree_in_what_a_pass_is_made_of_are_one_bank():
    stages = [
        training("a"), training("b", seed=3, learning_rate=0.5, steps=20), training("other layer", layer=1),
        training("lora", adapter="lora"), training("c", anchor={"weight": 4.0}),
        training("other model", model="m"),
        training("as published", as_published="all"),
    ]  # fmt: skip
    assert titles(tasks(stages)) == [
        ["as published"], ["b", "a", "c"], ["other layer"], ["lora"], ["other model"],
    ]  # fmt: skip


def test_what_is_trained_on_comes_in_a_later_bank():
    first = [training("first a"), training("first b")]
    asked = stage("asked", first[0])
    # Both are of one kind; the second waits for more than the first does.
    later = [training("later a", first[0]), training("later b", first[1]), training("last", asked)]
    found = tasks([*first, asked, *later])
    assert titles(found) == [["first a", "first b"], ["asked"], ["later a", "later b"], ["last"]]
    place = {one.id: number for number, task in enumerate(found) for one in task.stages}
    for number, task in enumerate(found):
        assert all(place[need] < number for need in task.needs)


@pytest.mark.parametrize(
    ("count", "bank", "sizes"),
    [(17, 16, [9, 8]), (16, 16, [16]), (9, 4, [3, 3, 3]), (3, 1, [1, 1, 1]), (5, 2, [2, 2, 1])],
)
def test_banks_are_of_nearly_equal_size(count: int, bank: int, sizes: list[int]):
    stages = [training(f"{place}") for place in range(count)]
    found = tasks(stages, bank=bank)
    assert [len(task.stages) for task in found] == sizes
    assert sorted(one.id for task in found for one in task.stages) == sorted(one.id for one in stages)


def test_long_trainings_are_together_since_a_bank_is_as_long_as_its_longest():
    stages = [training(f"{steps} steps", steps=steps) for steps in (10, 300, 20, 400)]
    assert titles(tasks(stages, bank=2)) == [["400 steps", "300 steps"], ["20 steps", "10 steps"]]


def test_no_bank_where_none_pays():
    assert titles(tasks([training("a"), training("b")], pays=False)) == [["a"], ["b"]]


def test_what_is_finished_is_in_no_task_and_is_not_waited_for():
    first, second = training("a"), training("b")
    asked = stage("asked", first)
    found = tasks([first, second, asked], finished={first.id})
    assert titles(found) == [["b"], ["asked"]]


@pytest.mark.parametrize("bank", [2, 3, 4, 16])
def test_banks_that_a_kill_left_are_met_again_with_the_same_members(bank: int):
    """Whichever banks were finished; else a bank would go on with others than it was begun with."""
    for count in range(1, 20):
        stages = [training(f"{place}", steps=10 + place % 3) for place in range(count)]
        whole = tasks(stages, bank=bank)
        for chosen in range(2 ** min(len(whole), 5)):
            done = [task for place, task in enumerate(whole) if chosen >> place & 1]
            finished = {one.id for task in done for one in task.stages}
            left = [task for task in whole if task not in done]
            assert [task.id for task in tasks(stages, bank=bank, finished=finished)] == [
                task.id for task in left
            ]


def test_a_real_plan_in_tasks():
    plan = plan_study(load_study(QUICK, ("models=microworld:1",)))
    found = tasks_of(plan.stages, lambda one: False, 16, lambda recipe: True)
    assert sorted(one.id for task in found for one in task.stages) == sorted(plan.stages)
    done: set[str] = set()
    for task in found:
        assert task.needs <= done, "a task comes after those that it needs"
        done |= {one.id for one in task.stages}
        if len(task.stages) > 1:
            keys = {key_of(one) for one in task.stages}
            assert len(keys) == 1
            assert len(task.stages) <= 16
    banks = [task for task in found if len(task.stages) > 1]
    assert sum(len(task.stages) for task in banks) > len(plan.stages) / 5
    assert independent(plan.stages, banks)


def key_of(one: Stage) -> object:
    return one.model, bank_key(Recipe.model_validate(one.settings["recipe"]))


def independent(stages: Mapping[str, Stage], banks: list[Task]) -> bool:
    """Whether no member of a bank rests on another, by any way round."""
    rests: dict[str, set[str]] = {}
    for id_, one in stages.items():
        rests[id_] = set(one.inputs.values()).union(*(rests[need] for need in one.inputs.values()))
    return all(
        not rests[one.id] & {other.id for other in task.stages} for task in banks for one in task.stages
    )
