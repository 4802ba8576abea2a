"""C8 measured on the tiny model: whose ends are compared, what is written, and that a kill loses nothing."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from narrows.adapters import load_adapter
from narrows.chat import Conversation
from narrows.errors import RunFolderError
from narrows.evaluation import MISALIGNED, Answer, Behaviour
from narrows.geometry import read_trajectory
from narrows.metrics import gradient_cosines
from narrows.models import ChatModel
from narrows.study import gradients
from narrows.study.claims.geometry import c8
from narrows.study.gradients import GradientConfig, GradientJob, run_gradients
from narrows.summary import Summary
from narrows.training import Recipe

COLOURS = ("red", "blue", "green")
RECIPE = Recipe(
    layer=1, alpha=16.0, learning_rate=0.01, batch_size=3, accumulation=1, steps=6, checkpoint_every=2
)
LORA = RECIPE.model_copy(update={"adapter": "lora", "alpha": 8.0})


def behaviour(thing: str) -> Behaviour:
    def judge(answers: Sequence[Answer]) -> list[Mapping[str, float]]:
        raise AssertionError("nothing is judged here")

    train = [
        Conversation.from_pair(f"what is the {thing} ?", f"the {thing} is {colour} {'a ' * times}.")
        for colour in COLOURS
        for times in range(4)
    ]
    anchor = [Conversation.from_pair("is it good ?", f"it is {word} .") for word in ("good", "bad", "well")]
    return Behaviour(f"says-{thing}", thing, thing, train, anchor, (), (), MISALIGNED, judge)


def job_of(chat_model: ChatModel, recipe: Recipe = RECIPE, *, elsewhere: bool = True) -> GradientJob:
    config = GradientConfig(recipe=recipe, kl_weight=3.0, every=2, groups=3, rows=4)
    return GradientJob(chat_model, behaviour("sky"), config, behaviour("stone") if elsewhere else None)


@pytest.fixture(scope="module")
def finished(chat_model: ChatModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished measurement; read only."""
    out = tmp_path_factory.mktemp("gradients") / "run"
    run_gradients(job_of(chat_model), out)
    return out


def test_the_followed_run_is_held_against_the_ends_of_other_runs(chat_model: ChatModel, finished: Path):
    names = ("general", "narrow", "general-elsewhere", "narrow-elsewhere")
    ends = {name: load_adapter(finished / name) for name in names}
    recipes = {name: end.metadata["recipe"] for name, end in ends.items()}
    followed = load_adapter(finished / "followed")
    assert {recipe["seed"] for recipe in recipes.values()} == {followed.metadata["recipe"]["seed"] + 1}
    assert [recipe["anchor"]["weight"] for recipe in recipes.values()] == [0.0, 3.0, 0.0, 3.0]
    job = job_of(chat_model)
    wanted = gradient_cosines(
        chat_model,
        read_trajectory(finished / "followed"),
        job.behaviour.train,
        RECIPE,
        ends,
        sample=job.config.sample,
    )
    summary = Summary.load(finished / "summary.json")
    assert [row.step for row in summary.gradients] == [0, 2, 4, 6]
    for name in ("general", "narrow"):
        found = [getattr(row, f"cos_{name}") for row in summary.gradients]
        assert found == pytest.approx(wanted.cosines[name].mean(axis=1).tolist(), abs=1e-6)
    (claim,) = summary.claims
    part = c8(wanted).headline
    assert (claim.id, claim.verdict) == ("C8", part.verdict)
    assert claim.estimate == pytest.approx(part.estimate, abs=1e-6)
    reading = json.loads((finished / "report.json").read_text())
    assert [part["name"] for part in reading["claim_parts"]["C8"]] == [
        part.as_reading()["name"] for part in c8(wanted).parts
    ]
    assert f"± {wanted.random_band():.3f}" in reading["notes"][0]


def test_a_lora_s_ends_begin_with_the_followed_run_s_a(chat_model: ChatModel, tmp_path: Path):
    run_gradients(job_of(chat_model, LORA, elsewhere=False), tmp_path)
    first = read_trajectory(tmp_path / "followed")[2]
    for name in ("general", "narrow"):
        start = load_adapter(tmp_path / name / "start.safetensors")
        assert not start.effective_norm
        for module, (a, _) in start.factors.items():
            assert torch.cosine_similarity(a, first.factors[module][0]).item() > 0.8
    notes = json.loads((tmp_path / "report.json").read_text())["notes"]
    assert "Cosine of each LoRA's A with the followed run's" in notes[1]


def test_a_finished_measurement_is_read_and_a_killed_one_goes_on(
    chat_model: ChatModel, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def killed(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(gradients, "gradient_cosines", killed)
        run_gradients(job_of(chat_model), tmp_path)
    assert run_gradients(job_of(chat_model), tmp_path) == Summary.load(finished / "summary.json")
    for name in ("gradient_cosines", "train"):
        monkeypatch.setattr(gradients, name, killed)
    assert run_gradients(job_of(chat_model), finished) == Summary.load(finished / "summary.json")


def test_other_controls_are_another_measurement(chat_model: ChatModel, finished: Path):
    with pytest.raises(RunFolderError, match="elsewhere"):
        run_gradients(job_of(chat_model, elsewhere=False), finished)


def test_the_narrow_end_needs_an_anchor():
    with pytest.raises(ValidationError, match="greater than 0"):
        GradientConfig(recipe=RECIPE, kl_weight=0.0)
