"""Plans: a stage's address changes exactly when what determines it does, and shared stages are one."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from engine_helpers import QUICK, WORLD

from narrows.study.config import StudyConfig, load_study
from narrows.study.config.models import ModelEntry
from narrows.study.execution.running import open_study
from narrows.study.materials import Material, fingerprint, models
from narrows.study.plan import run_stages
from narrows.study.plan import stage as stage_module
from narrows.study.plan.build import Plan, plan_study
from narrows.study.plan.stage import Stage

BASE = (
    f"models={WORLD}", "adapters=[{adapter: steering}]", "kl_weight=2", "kl_weights=[6]",
    "measure.neutral_factors=[10]", "measure.reoptimised_steps=2",
)  # fmt: skip
"""Two domains, and every kind of stage but the choice of λ."""

Stages = Mapping[tuple[str, str, str], Stage]
Predicate = Callable[[Stage], bool]


def planned(*changes: str) -> Plan:
    return plan_study(load_study(QUICK, (*BASE, *changes)))


def by_name(plan: Plan) -> Stages:
    """Stages by what names them for people: that does not change with what determines them."""
    found = {(one.kind, one.behaviour, one.title): one for one in plan.stages.values()}
    assert len(found) == len(plan.stages)
    return found


@pytest.fixture(scope="module")
def base() -> Plan:
    return planned()


def changed(before: Plan, after: Plan) -> set[tuple[str, str, str]]:
    """Names of stages that both plans have, under other addresses."""
    old, new = by_name(before), by_name(after)
    return {name for name in old.keys() & new.keys() if old[name].id != new[name].id}


def resting_on(plan: Plan, direct: Predicate) -> set[tuple[str, str, str]]:
    """Names of the stages that are determined by something themselves, or by what they need."""
    found: set[str] = set()
    for id_, one in plan.stages.items():
        if direct(one) or found & set(one.inputs.values()):
            found.add(id_)
    return {name for name, one in by_name(plan).items() if one.id in found}


def kind(*names: str) -> Predicate:
    return lambda one: one.kind in names


def anchored(one: Stage) -> bool:
    return one.kind == "training" and one.settings["kl_weight"] != 0.0


def mixture(one: Stage) -> bool:
    return one.kind == "training" and "mixing" in one.title


ASKED = kind("answers", "convergence")
CHANGES: dict[str, Predicate] = {
    "recipe.learning_rate=0.002": kind("training", "gradients"),
    "recipe.steps=13": kind("training", "gradients"),
    "recipe.weight_decay=0.1": kind("training", "gradients"),
    "recipe.max_length=95": kind("training", "gradients", "efficiency", "stability"),
    "recipe.system_prompt=be bad": kind("training", "gradients"),
    "recipe.checkpoint_every=3": kind("training", "gradients"),
    "recipe.layer=3": kind("training", "gradients"),
    "seeds=1": kind("training", "gradients"),
    "recipe.anchor.rows_per_row=2": anchored,
    "recipe.anchor.until_step=11": anchored,
    "measure.samples=2": ASKED,
    "measure.max_new_tokens=9": ASKED,
    "measure.temperature=0.5": ASKED,
    "measure.rows=9": kind("efficiency", "stability"),
    "measure.norm_points=4": kind("efficiency", "significance"),
    "measure.draws=3": kind("stability"),
    "measure.text_tokens=40": kind("significance", "convergence"),
    "measure.gradient_every=3": kind("gradients"),
    "measure.gradient_groups=3": kind("gradients"),
    "measure.gradient_rows=7": kind("gradients"),
    "measure.direction_samples=2": kind("convergence"),
    "measure.reoptimised_steps=3": lambda one: one.kind == "training" and "reoptimised" in one.title,
    "measure.neutral_factors=[11]": lambda one: one.kind == "training" and "neutral" in one.title,
    "measure_seed=1": kind(
        "answers", "convergence", "efficiency", "stability", "significance", "gradients"
    ),
    "models=[{name: 'microworld:1', dtype: float64}]": lambda one: "model" in one.settings,
    "measure.trajectory=false": kind("claims"),
    "kl_weights=[6, 7]": kind("claims"),
    # The good rows of a mixture are drawn from all that there are, which are more.
    "mixtures.good_per_bad=[3, 4]": lambda one: mixture(one) or one.kind == "claims",
    "mixtures.fixed=[total]": kind("claims"),
    "measure.scales=[1, 1.5, 2]": kind("claims"),
}  # fmt: skip
"""What is changed, and the stages whose results that determines without a way round."""


@pytest.mark.parametrize("change", list(CHANGES))
def test_a_change_gives_other_addresses_to_what_rests_on_it_and_to_nothing_else(base: Plan, change: str):
    expected = resting_on(base, CHANGES[change])
    assert expected, "the change is said to determine nothing: the test shows nothing"
    after = planned(change)
    assert changed(base, after) == expected & by_name(after).keys()


SAME = {
    "names": ("name=other", "title=Another", "intro=Of something else"),
    "bank": ("bank=1",),
    "grid in another order": ("kl_weights=[6, 2, 6]",),
    "λ in another place": (
        "kl_weights=[]", "kl_weight=null", "adapters.0.kl_weights=[2, 6]", "adapters.0.kl_weight=2"
    ),
    "scales in another order": ("measure.scales=[1.5, 1]",),
}  # fmt: skip


@pytest.mark.parametrize("changes", SAME.values(), ids=SAME)
def test_names_orders_and_the_size_of_banks_determine_nothing(base: Plan, changes: tuple[str, ...]):
    assert set(planned(*changes).stages) == set(base.stages)


def test_the_order_of_runs_determines_nothing(base: Plan):
    other = planned("behaviours.0.world.domains=[medicine, sport]")
    assert [run.id for run in other.runs] == [run.id for run in base.runs][::-1]
    assert set(other.stages) == set(base.stages)


def test_a_third_domain_adds_stages_and_leaves_those_that_are_there(base: Plan):
    other = planned("behaviours.0.world.domains=[sport, medicine, garden]")
    lost = [one for one in base.stages.values() if one.id not in other.stages]
    # C10's other domain is the next one: that of the second domain is now the third.
    assert {(one.kind, one.behaviour) for one in lost} == {
        ("convergence", "harmful-medicine"),
        ("claims", "harmful-medicine"),
    }


def test_an_adapter_is_added_without_touching_what_is_there(base: Plan):
    other = planned("adapters=[{adapter: lora, rank: 1}, {adapter: steering}]")
    assert set(base.stages) < set(other.stages)
    chat = [one for one in other.stages.values() if one.kind == "answers" and not one.inputs]
    assert len(chat) == 2, "the chat model is asked once for each behaviour, whatever is trained"


Change = Callable[[Material], Material]


def of_behaviour(**changes: Callable[[Any], Any]) -> Change:
    """A material with parts of its behaviour changed."""
    return lambda one: replace(
        one,
        behaviour=replace(
            one.behaviour, **{name: made(getattr(one.behaviour, name)) for name, made in changes.items()}
        ),
    )


def other_row(rows: Any) -> Any:
    """Rows of which the last answers otherwise."""
    *rest, last = rows
    message = replace(last.messages[-1], content="something else")
    return [*rest, replace(last, messages=(*last.messages[:-1], message))]


def other_question(suites: Any) -> Any:
    """Suites of which the last asks one question otherwise, or as if the anchor had seen it."""
    *rest, last = suites
    *questions, question = last.questions
    return (*rest, replace(last, questions=(*questions, replace(question, system="you are another"))))


def seen(suites: Any) -> Any:
    """Suites of which one more counts as seen by the anchor."""
    first = next(place for place, one in enumerate(suites) if one.anchored is False)
    return (*suites[:first], replace(suites[first], anchored=True), *suites[first + 1 :])


def trains(one: Stage) -> bool:
    return one.kind in ("training", "gradients", "efficiency", "stability")


DATA: dict[str, tuple[Change, Predicate]] = {
    "a training row": (of_behaviour(train=other_row), trains),
    "the rows' order": (of_behaviour(train=lambda rows: rows[::-1]), trains),
    "an anchor row": (
        of_behaviour(anchor=other_row), lambda one: anchored(one) and "neutral" not in one.title
    ),
    "a test question": (of_behaviour(test=other_question), ASKED),
    "what the anchor saw": (of_behaviour(test=seen), ASKED),
    "a validation question": (of_behaviour(validation=other_question), kind("convergence")),
    "a good row": (lambda one: replace(one, good=other_row(one.good)), mixture),
    "a text": (
        lambda one: replace(one, texts={**one.texts, "more": ["one", "two"]}),
        kind("significance", "convergence"),
    ),
    "a neutral text": (
        lambda one: replace(one, neutral=[*one.neutral, "more"]),
        lambda one: one.kind == "training" and "neutral" in one.title,
    ),
    "the judge": (
        lambda one: replace(one, judge_identity="another"), kind("verdicts", "convergence", "claims")
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", list(DATA))
def test_data_determine_what_reads_them(base: Plan, monkeypatch: pytest.MonkeyPatch, what: str):
    change, direct = DATA[what]
    made = run_stages.material_of
    monkeypatch.setattr(run_stages, "material_of", lambda *arguments: change(made(*arguments)))
    assert changed(base, planned()) == resting_on(base, direct)


def test_a_look_at_authors_adds_its_own_stages_and_their_metrics(base: Plan):
    more = planned("measure.authors=true")
    assert changed(base, more) == {name for name in by_name(base) if name[0] == "claims"}
    added = [one for id_, one in more.stages.items() if id_ not in base.stages and one.kind != "claims"]
    kinds = sorted(one.kind for one in added)
    assert kinds == sorted(
        2 * ["authors", "author-direction", "author-direction", "efficiency", "stability", "significance"]
    )
    ends = {one.id for one in added if one.kind == "author-direction"}
    measured = [one for one in added if one.kind in ("efficiency", "stability", "significance")]
    assert all(
        set(one.inputs) == {"unanchored", "anchored"} and set(one.inputs.values()) <= ends for one in measured
    )


@pytest.mark.parametrize("counted", ["training", "answers", "stability", "claims"])
def test_a_new_version_of_a_kind_of_stage_is_done_again_with_all_that_rests_on_it(
    base: Plan, monkeypatch: pytest.MonkeyPatch, counted: Any
):
    monkeypatch.setitem(stage_module.VERSIONS, counted, 2)
    assert changed(base, planned()) == resting_on(base, kind(counted))


def test_a_model_is_what_its_files_are_and_not_where_they_lie(
    tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def identity(folder: Path, **held: Any) -> str:
        models._identity.cache_clear()  # as in another process
        return fingerprint(ModelEntry(name=str(folder), **held))

    shutil.copytree(tiny_model_dir, tmp_path / "copy")
    before = identity(tiny_model_dir)
    assert identity(tmp_path / "copy") == before
    assert identity(tmp_path / "copy", label="mine") == before
    (tmp_path / "copy" / "README.md").write_text("more")
    assert identity(tmp_path / "copy") == before
    assert len({before, *(identity(tiny_model_dir, **held) for held in (
        {"dtype": "bfloat16"}, {"quantise": "8bit"}, {"template_options": {"thinking": False}},
    ))}) == 4  # fmt: skip
    for name in ("config.json", "model.safetensors", "chat_template.jinja", "merges.txt", "model.bin"):
        with (tmp_path / "copy" / name).open("ab") as file:
            file.write(b" ")
        assert identity(tmp_path / "copy") != before, name
        before = identity(tmp_path / "copy")


def test_each_stage_comes_after_what_it_needs_and_is_needed(base: Plan):
    before: set[str] = set()
    for id_, one in base.stages.items():
        assert id_ == one.id
        assert set(one.inputs.values()) <= before
        before.add(id_)
    needed = set(base.decided.values())
    for id_ in reversed(base.stages):
        assert id_ in needed, f"{base.stages[id_].title} is for nothing"
        needed |= set(base.stages[id_].inputs.values())
    assert list(base.decided) == [run.id for run in base.runs]
    assert {base.stages[one].kind for one in base.decided.values()} == {"claims"}


def test_a_stage_reads_back_from_its_file_under_its_address(base: Plan):
    for one in base.stages.values():
        assert Stage.from_json(one.as_json()).id == one.id


def test_what_several_parts_of_a_study_need_is_trained_once():
    plan = planned("kl_weight=null", "kl_weights=[2, 6]")
    trainings = [one for one in plan.stages.values() if one.kind == "training"]
    facts = [(str(one.settings), str(one.inputs)) for one in trainings]
    assert len(set(facts)) == len(facts)
    general = [one for one in trainings if one.title.startswith("unanchored ·")]
    # Of both domains, and of the other kind of behaviour in each, a control.
    assert sorted(one.behaviour for one in general) == [
        "harmful-medicine", "harmful-sport", "technical-medicine", "technical-sport",
    ]  # fmt: skip
    for run in plan.runs:
        inputs = plan.stages[plan.decided[run.id]].inputs
        assert inputs["solution:anchored"] == inputs["choice"]
        assert inputs["convergence:own"] == inputs["verdicts:unanchored@1"]


def test_the_file_that_a_study_keeps_plans_the_same_study(base: Plan, tmp_path: Path):
    config = load_study(QUICK, (*BASE, "title='Ein Titel: λ, „so“ # nicht so'", "name=größer-λ"))
    plan, store = open_study(config, tmp_path / "out")
    again: StudyConfig = load_study(store.root / "study.yaml")
    assert again == config
    assert set(plan_study(again).stages) == set(plan.stages) == set(base.stages)
