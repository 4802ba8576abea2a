"""Estimates: told from rows, questions and shapes alone; they grow with the work, and end with it."""

from pathlib import Path

import pytest
import torch
import transformers
from engine_helpers import publish, tiny

from narrows.study.execution.running import pending
from narrows.study.plan import estimate as estimate_module
from narrows.study.plan.build import Plan, plan_study
from narrows.study.plan.estimate import Estimate, estimate
from narrows.study.store import Store


@pytest.fixture(autouse=True)
def _no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any attempt to load weights fails; the machine's speed is always the same."""

    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("weights are loaded")

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", refuse)
    monkeypatch.setattr(torch, "load", refuse)
    monkeypatch.setattr(estimate_module, "_matmul_rate", lambda: 1e10)


def estimated(store: Store, *changes: str, workers: int = 1) -> tuple[Plan, Estimate]:
    plan = plan_study(tiny(*changes))
    return plan, estimate(plan, pending(plan, store), store, workers)


def test_more_work_takes_longer(tmp_path: Path):
    store = Store(tmp_path)
    _, base = estimated(store)
    assert base.trainings == 2
    assert base.seconds > 0
    assert base.memory > 2**20
    for change, kind in {
        "recipe.steps=20": "training",
        "recipe.batch_size=16": "training",
        "recipe.anchor.rows_per_row=3": "training",
        "measure.samples=3": "answers",
        "measure.max_new_tokens=40": "answers",
        "measure.rows=80": "efficiency",
        "measure.draws=20": "stability",
    }.items():
        _, more = estimated(store, change)
        assert more.kinds[kind].tokens > base.kinds[kind].tokens, change
        assert more.kinds[kind].seconds > base.kinds[kind].seconds, change
        assert more.seconds > base.seconds, change
        others = [name for name in base.kinds if name not in (kind, "stability")]
        assert all(more.kinds[name] == base.kinds[name] for name in others), change


def test_steps_count_in_proportion(tmp_path: Path):
    of_steps = [
        estimated(Store(tmp_path), f"recipe.steps={steps}")[1].kinds["training"].tokens
        for steps in (10, 20, 30)
    ]
    assert of_steps[1] == pytest.approx(2 * of_steps[0])
    assert of_steps[2] == pytest.approx(3 * of_steps[0])


def test_answers_are_their_prompts_and_what_may_be_written(tmp_path: Path):
    few, many = (
        estimated(Store(tmp_path), f"measure.max_new_tokens={count}")[1].kinds["answers"].tokens
        for count in (4, 5)
    )
    plan, _ = estimated(Store(tmp_path))
    assert many - few == sum(one.kind == "answers" for one in plan.stages.values()) * asked(plan)


def asked(plan: Plan) -> int:
    """Questions of the test."""
    from narrows.study.materials import material_of

    run = plan.runs[0]
    return sum(len(suite.questions) for suite in material_of(run.behaviour, run.model).behaviour.test)


def test_workers_share_the_time_and_not_the_work(tmp_path: Path):
    _, one = estimated(Store(tmp_path))
    _, four = estimated(Store(tmp_path), workers=4)
    assert four.seconds == pytest.approx(one.seconds / 4)
    assert four.tokens == one.tokens
    assert "with 4 workers" in str(four)


def test_nothing_is_left_of_a_finished_study(tmp_path: Path):
    store = Store(tmp_path)
    plan, _ = estimated(store)
    for one in plan.stages.values():
        publish(store, one)
    _, found = estimated(store)
    assert str(found) == "Nothing is left to do."
    assert (found.seconds, found.tokens, found.trainings, found.memory) == (0, 0, 0, 0)


def test_the_speed_of_finished_stages_counts_from_the_second_on(tmp_path: Path):
    store = Store(tmp_path)
    plan, before = estimated(store)
    answers = [one for one in plan.stages.values() if one.kind == "answers"]
    publish(store, answers[0])
    _, after_one = estimated(store)
    assert "answers" not in after_one.measured
    publish(store, answers[1])
    _, after_two = estimated(store)
    assert after_two.measured == ("answers",)
    # Each of the two took a second, and all of them do the same.
    assert after_two.kinds["answers"].count == before.kinds["answers"].count - 2
    assert after_two.kinds["answers"].seconds == pytest.approx(after_two.kinds["answers"].count, rel=0.01)
    assert "roughly, from a probe" in str(after_two)
