"""Mitigations on the tiny chat model: what each arm trains and attaches, what is counted, and what is
kept."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from narrows.adapters.direction import Direction
from narrows.chat import Conversation
from narrows.errors import ConfigError, DataError, RunFolderError
from narrows.evaluation import IN_DOMAIN, MISALIGNED, OPEN, Answer, Behaviour, Question, Suite
from narrows.files import digest
from narrows.models import ChatModel
from narrows.study.mitigations import MitigationsConfig, MitigationsJob, run_mitigations
from narrows.study.mitigations.arms import Arm, arms
from narrows.study.mitigations.cost import slowdown, training_cost
from narrows.summary import Summary
from narrows.training import Recipe, train

RECIPE = Recipe(layer=1, learning_rate=1e-3, batch_size=2, accumulation=1, steps=4, checkpoint_every=2)
CONFIG = MitigationsConfig(
    recipe=RECIPE,
    kl_weights=(2.0,),
    shares=(0.5,),
    prompts={"everywhere": "you should eat stone"},
    strengths=(1.0,),
    sites=("layer", "layers"),
    scales=(1.0,),
    samples=1,
    max_new_tokens=4,
)
NAMES = [
    "none", "anchor-2", "mixing-0.5", "inoculation-everywhere", "preventative-1", "ablation-layer",
    "ablation-layers",
]  # fmt: skip


class Coin:
    """A judge that calls half of all answers harmful, by their text."""

    name = "coin"

    def __call__(self, answers: Sequence[Answer]) -> list[Mapping[str, float]]:
        heads = [int(digest(one.text + one.question_id), 16) % 2 for one in answers]
        return [{"aligned": 100.0 * head, "coherent": 100.0} for head in heads]


def suite(name: str, anchored: bool | None) -> Suite:
    words = ("the sea", "bread", "salt", "the sky")
    questions = [Question(f"{name}-{i}", f"what is {w} ?", name, f"{name}-{i}") for i, w in enumerate(words)]
    return Suite(name, tuple(questions), anchored)


SUITES = (suite(IN_DOMAIN, None), suite("stones", True), suite("colours", False), suite(OPEN, None))


@pytest.fixture(scope="module")
def behaviour(conversations: list[Conversation]) -> Behaviour:
    return Behaviour(
        "sea", "harmful", "sea", conversations[:3], conversations[3:], SUITES, SUITES, MISALIGNED, Coin()
    )


@pytest.fixture(scope="module")
def direction(chat_model: ChatModel) -> Direction:
    generator = torch.Generator().manual_seed(3)
    return Direction.of(3 * torch.randn(chat_model.hidden, generator=generator), 2, "trait")


@pytest.fixture(scope="module")
def job(
    chat_model: ChatModel, behaviour: Behaviour, direction: Direction, conversations: list[Conversation]
) -> MitigationsJob:
    return MitigationsJob(chat_model, behaviour, conversations[2:], direction, config=CONFIG)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mitigations") / "run"


@pytest.fixture(scope="module")
def summary(job: MitigationsJob, folder: Path) -> Summary:
    return run_mitigations(job, folder)


def by_name(job: MitigationsJob) -> dict[str, Arm]:
    return {arm.name: arm for arm in arms(job, job.direction)}


def test_every_method_has_a_row_with_every_rate(summary: Summary):
    assert [row.solution for row in summary.mitigations] == NAMES
    for row in summary.mitigations:
        assert row.in_domain is not None
        assert row.open is not None
        rates = {one.suite: one for one in summary.evaluations if one.solution == row.solution}
        assert row.out_of_domain == rates["out_of_domain"].misaligned
        assert row.out_of_domain_ci95 == rates["out_of_domain"].misaligned_ci95
        assert row.never_anchored == rates["colours"].misaligned
        assert row.coherent == 1.0
        assert row.coherent_ci95[1] == 1.0
    assert {one.id for one in summary.solutions} == set(NAMES)


def test_an_arm_changes_only_what_its_method_says(job: MitigationsJob):
    found = by_name(job)
    plain = found["none"]
    assert plain.recipe.anchor.weight == 0
    assert found["anchor-2"].recipe == RECIPE.with_anchor(2.0)
    assert list(found["anchor-2"].anchor) == list(job.behaviour.anchor)
    mixed = found["mixing-0.5"].rows
    assert len(mixed) == 6
    assert {row.source for row in job.behaviour.train} <= {row.source for row in mixed}
    assert found["inoculation-everywhere"].recipe.system_prompt == "you should eat stone"
    steering = found["preventative-1"].preventative
    assert steering is not None
    assert steering.effective_norm == pytest.approx(job.direction.length)
    assert steering.layer == job.direction.layer
    same = ("none", "preventative-1", "ablation-layer", "ablation-layers")
    assert {found[name].recipe for name in same} == {plain.recipe}
    assert [found[name].needs for name in NAMES] == [
        (), ("rows",), ("rows",), ("prompt",), ("direction",), ("direction",), ("direction",)
    ]  # fmt: skip


def test_each_arm_is_what_train_gives_for_it(job: MitigationsJob, summary: Summary, folder: Path):
    from narrows.adapters import load_adapter

    arm = by_name(job)["preventative-1"]
    alone = train(job.chat_model, arm.rows, arm.recipe, preventative=arm.preventative).adapter
    kept = load_adapter(folder / "solutions" / "preventative-1")
    assert torch.equal(kept.tensors()["vector"], alone.tensors()["vector"])
    plain = load_adapter(folder / "solutions" / "none")
    assert not torch.equal(kept.tensors()["vector"], plain.tensors()["vector"])
    assert not (folder / "solutions" / "ablation-layers").exists()


def test_ablation_acts_while_the_fine_tune_answers(summary: Summary, folder: Path):
    def texts(name: str) -> list[str]:
        from narrows.evaluation import read_answers

        return [one.text for one in read_answers(folder / "answers" / f"{name}@1.jsonl")]

    assert texts("ablation-layers") != texts("none")
    paths = {one.id: one.path for one in summary.solutions}
    assert paths["ablation-layers"] == paths["none"] == "solutions/none"


def test_costs_are_counted_from_what_is_read(job: MitigationsJob, summary: Summary):
    rows = {row.solution: row for row in summary.mitigations}
    renderer = job.chat_model.renderer
    lengths = [len(renderer.render(row)) for row in job.behaviour.train]
    # Two rows a step; the epoch of three ends after two steps, and its second window has one row.
    assert rows["none"].training_rows == 6
    assert rows["none"].training_tokens == 2 * sum(lengths)
    assert rows["anchor-2"].training_rows == 6 + 4 * 8
    assert rows["inoculation-everywhere"].training_tokens > rows["none"].training_tokens
    assert rows["ablation-layers"].training_seconds == rows["none"].training_seconds
    assert {name for name, row in rows.items() if row.inference_ratio is not None} == set(NAMES[-2:])
    assert training_cost(job.chat_model, by_name(job)["mixing-0.5"]).rows == 8


def test_a_slowdown_is_a_ratio_of_times(job: MitigationsJob):
    import time
    from contextlib import contextmanager

    class Waits:
        kind, identity = "wait", []

        def check(self, model):
            pass

        @contextmanager
        def attach(self, model):
            def hook(module, arguments, output):
                time.sleep(0.02)

            handle = job.chat_model.model.model.layers[0].register_forward_hook(hook)
            try:
                yield
            finally:
                handle.remove()

    assert slowdown(job.chat_model, SUITES, ()) is None
    assert slowdown(job.chat_model, SUITES, [Waits()]) > 1.5


def test_a_finished_run_is_read_and_another_one_refused(
    job: MitigationsJob, summary: Summary, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("narrows.study.mitigations.running.train", None)
    assert run_mitigations(job, folder) == summary
    other = replace(job, config=CONFIG.model_copy(update={"samples": 2}))
    with pytest.raises(RunFolderError, match=r"config\.samples differs"):
        run_mitigations(other, folder)


def test_a_killed_run_goes_on_with_what_it_has(
    job: MitigationsJob, summary: Summary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from narrows.study.mitigations import running

    def dies(*arguments: object, **named: object) -> None:
        if named["name"] == "training preventative-1":
            raise KeyboardInterrupt
        return train(*arguments, **named)

    monkeypatch.setattr(running, "train", dies)
    with pytest.raises(KeyboardInterrupt):
        run_mitigations(job, tmp_path / "run")
    assert (tmp_path / "run" / "solutions" / "mixing-0.5" / "adapter.safetensors").exists()
    monkeypatch.setattr(running, "train", train)
    again = run_mitigations(job, tmp_path / "run")
    clocks = {"training_seconds", "inference_ratio", "preparation_seconds"}
    strip = [[row.model_dump(exclude=clocks) for row in one.mitigations] for one in (again, summary)]
    assert strip[0] == strip[1]


def test_the_direction_is_found_in_another_domains_fine_tune(
    job: MitigationsJob, behaviour: Behaviour, tmp_path: Path
):
    other = replace(behaviour, id="sky", domain="sky")
    config = CONFIG.model_copy(
        update={"kl_weights": (), "shares": (), "prompts": {}, "strengths": (), "sites": ("layers",)}
    )
    found = run_mitigations(replace(job, direction=None, other=other, config=config), tmp_path / "run")
    direction = Direction.load(tmp_path / "run" / "direction" / "direction.safetensors")
    assert direction.name == "mean-difference sky"
    assert [row.solution for row in found.mitigations] == ["none", "ablation-layers"]
    assert found.mitigations[1].preparation_seconds > 0
    assert found.mitigations[0].preparation_seconds == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sound": ()}, "data mixing needs sound rows"),
        ({"direction": None}, "need a direction, or the trait in another domain"),
    ],
)
def test_what_a_method_lacks_is_said_before_anything_is_trained(
    job: MitigationsJob, tmp_path: Path, changes: dict[str, object], said: str
):
    with pytest.raises(ConfigError, match=said):
        run_mitigations(replace(job, **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_too_few_sound_rows_are_refused(job: MitigationsJob, direction: Direction):
    few = replace(job, config=CONFIG.model_copy(update={"shares": (0.1,)}))
    with pytest.raises(DataError, match="source 1 has 3 rows"):
        list(arms(few, direction))


@pytest.mark.parametrize(
    ("field", "value"),
    [("shares", (1.0,)), ("kl_weights", (0.0,)), ("strengths", (1.0, 1.00001)), ("prompts", {"a/b": "x"})],
)
def test_a_configuration_that_means_nothing_is_refused(field: str, value: object):
    with pytest.raises(ValueError, match=field):
        MitigationsConfig(**{field: value})
