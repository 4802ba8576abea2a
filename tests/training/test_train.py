import copy
from pathlib import Path

import pytest
import torch
from training_helpers import ANCHOR, RECIPE, ROWS, assert_same_run, changed, vector

from narrows.adapters import SteeringVector
from narrows.chat import Conversation
from narrows.errors import AdapterError, DataError, RunFolderError
from narrows.models import ChatModel
from narrows.training import Recipe, train
from narrows.training.window import Window


def test_training_lowers_the_loss_and_says_how_it_went(chat_model: ChatModel):
    run = train(chat_model, ROWS, changed(steps=30), anchor=ANCHOR)
    assert [entry["step"] for entry in run.log] == list(range(1, 31))
    assert run.log[-1]["loss"] + 2 * run.log[-1]["kl"] < run.log[0]["loss"] - 0.2
    assert list(run.trajectory) == list(range(0, 31, 3))
    assert torch.equal(run.trajectory[30].vector, run.adapter.vector)
    assert run.log[-1]["effective_norm"] == run.adapter.effective_norm
    assert not run.adapter.vector.requires_grad
    assert (run.steps, run.folder, run.recipe.layer) == (30, None, 1)


def test_the_anchor_keeps_the_kl_lower(chat_model: ChatModel):
    weak, strong = (train(chat_model, ROWS, RECIPE.with_anchor(w), anchor=ANCHOR) for w in (1e-9, 20.0))
    assert strong.log[-1]["kl"] < weak.log[-1]["kl"] / 2


def test_by_default_the_middle_layer_is_trained_as_in_the_paper(chat_model: ChatModel):
    run = train(chat_model, ROWS[:2])
    assert (run.recipe.layer, run.adapter.layer, run.adapter.alpha) == (2, 2, 256.0)
    assert run.steps == 2  # two epochs of one window
    assert run.log[0]["kl_weight"] == 0


def test_the_last_step_is_always_a_checkpoint(chat_model: ChatModel):
    run = train(chat_model, ROWS, changed(steps=4), anchor=ANCHOR)
    assert list(run.trajectory) == [0, 3, 4]


def test_a_seed_decides_everything(chat_model: ChatModel):
    run, again, other = (train(chat_model, ROWS, changed(seed=seed), anchor=ANCHOR) for seed in (0, 0, 1))
    assert_same_run(again, run)
    assert not torch.equal(other.adapter.vector, run.adapter.vector)


def test_the_chat_model_is_left_as_it_was(chat_model: ChatModel):
    def hooks() -> list[int]:
        return [len(module._forward_hooks) for module in chat_model.model.modules()]

    before = {name: weight.clone() for name, weight in chat_model.model.named_parameters()}
    hooks_before = hooks()
    train(chat_model, ROWS, RECIPE, anchor=ANCHOR)
    for name, weight in chat_model.model.named_parameters():
        assert torch.equal(weight, before[name]), name
        assert weight.grad is None, name
        assert not weight.requires_grad, name
    assert hooks() == hooks_before


def test_the_norm_never_passes_the_recipe_s(chat_model: ChatModel):
    free = train(chat_model, ROWS, changed(accumulation=1), anchor=ANCHOR)
    bound = train(chat_model, ROWS, changed(accumulation=1, max_norm=0.5), anchor=ANCHOR)
    assert free.adapter.effective_norm > 1
    norms = [entry["effective_norm"] for entry in bound.log]
    assert max(norms) == pytest.approx(0.5)
    assert max(norms) < 0.5 * (1 + 1e-6)
    assert all(adapter.effective_norm < 0.5 * (1 + 1e-6) for adapter in bound.trajectory.values())


# λ over the steps


def test_a_lifted_anchor_is_the_anchored_run_until_it_is_lifted(chat_model: ChatModel):
    kept = train(chat_model, ROWS, RECIPE, anchor=ANCHOR)
    lifted = train(chat_model, ROWS, RECIPE.with_anchor(2.0, until_step=6), anchor=ANCHOR)
    assert [entry["kl_weight"] for entry in lifted.log] == [2.0] * 6 + [0.0] * 6
    assert [entry["kl"] is None for entry in lifted.log] == [False] * 6 + [True] * 6
    assert lifted.log[:6] == kept.log[:6]
    for step in (0, 3, 6):
        assert torch.equal(lifted.trajectory[step].vector, kept.trajectory[step].vector)
    assert not torch.equal(lifted.trajectory[9].vector, kept.trajectory[9].vector)


def test_an_added_anchor_is_the_unanchored_run_until_it_is_added(chat_model: ChatModel):
    without = train(chat_model, ROWS, RECIPE.with_anchor(0.0))
    added = train(chat_model, ROWS, RECIPE.with_anchor(2.0, from_step=6), anchor=ANCHOR)
    assert [entry["kl_weight"] for entry in added.log] == [0.0] * 6 + [2.0] * 6
    assert added.log[:6] == without.log[:6]
    assert torch.equal(added.trajectory[6].vector, without.trajectory[6].vector)
    assert not torch.equal(added.trajectory[9].vector, without.trajectory[9].vector)


def test_an_anchor_lifted_from_the_start_needs_no_rows(chat_model: ChatModel):
    never = train(chat_model, ROWS, RECIPE.with_anchor(2.0, until_step=0))
    without = train(chat_model, ROWS, RECIPE.with_anchor(0.0))
    assert torch.equal(never.adapter.vector, without.adapter.vector)


# Training on


def test_training_goes_on_from_a_vector_and_leaves_that_as_it_was(chat_model: ChatModel):
    start = vector(alpha=4.0)
    start.metadata["from"] = "elsewhere"
    before = start.vector.clone()
    run = train(chat_model, ROWS, changed(layer=None, alpha=256.0), anchor=ANCHOR, start=start)
    assert torch.equal(run.trajectory[0].vector, before)
    assert torch.equal(start.vector, before)
    assert (run.adapter.layer, run.adapter.alpha, run.recipe.layer, run.recipe.alpha) == (1, 4.0, 1, 4.0)
    assert 0 < float((run.adapter.effective - start.effective).norm()) < start.effective_norm
    assert sorted(run.adapter.metadata) == ["recipe", "steps", "tokens"]


@pytest.mark.parametrize(
    ("start", "layer", "problem"),
    [
        (None, 4, "layer 4 is out of range.*0 to 3"),
        (vector(layer=2), 1, "trains layer 1.*sits at layer 2"),
        (vector(layer=7), None, "layer 7 is out of range.*0 to 3"),
        (vector(hidden=16), 1, "width 16.*32"),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused_before_a_folder_is_made(
    chat_model: ChatModel, tmp_path: Path, start: SteeringVector | None, layer: int | None, problem: str
):
    with pytest.raises(AdapterError, match=problem):
        train(chat_model, ROWS, changed(layer=layer), anchor=ANCHOR, start=start, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


# Rows that cannot be trained on


@pytest.mark.parametrize(
    ("rows", "anchor", "recipe", "problem"),
    [
        ([], ANCHOR, RECIPE, "no training rows"),
        (ROWS, [], RECIPE, r"anchor of weight 2, but no anchor rows.*set anchor\.weight to 0"),
        (ROWS, ANCHOR, changed(max_length=4), "rows:1: no response token is left.*Raise max_length"),
        (ROWS, ["the sea", "sky"], RECIPE, r"anchor row 2: none of its 1 tokens.*leave the row out"),
        (ROWS, ["the sea"], RECIPE.with_anchor(1, positions="response"), "anchor row 1.*'response'.*to all"),
    ],
)
def test_rows_that_cannot_be_trained_on_are_named_before_a_folder_is_made(
    chat_model: ChatModel,
    tmp_path: Path,
    rows: list[Conversation],
    anchor: list[Conversation | str],
    recipe: Recipe,
    problem: str,
):
    with pytest.raises(DataError, match=problem):
        train(chat_model, rows, recipe, anchor=anchor, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


# The folder


def test_a_finished_run_is_read_and_not_trained_again(
    chat_model: ChatModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run = train(chat_model, ROWS, RECIPE, anchor=ANCHOR, out=tmp_path)
    monkeypatch.setattr("narrows.training.loop.Window", None)
    again = train(chat_model, ROWS, RECIPE, anchor=ANCHOR, out=str(tmp_path))
    assert_same_run(again, run)
    assert torch.equal(SteeringVector.load(tmp_path / "adapter.safetensors").vector, run.adapter.vector)
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 12


@pytest.mark.parametrize(
    ("rows", "anchor", "recipe", "start", "field"),
    [
        (ROWS, ANCHOR, changed(seed=1), None, r"recipe\.seed differs"),
        (ROWS, ANCHOR, RECIPE.with_anchor(3.0), None, r"recipe\.anchor\.weight differs"),
        (ROWS[:-1], ANCHOR, RECIPE, None, "rows differs"),
        (ROWS, ANCHOR[::-1], RECIPE, None, "anchor differs"),
        (ROWS, ANCHOR, RECIPE, vector(), "start differs"),
        (ROWS[::-1], ANCHOR, changed(steps=3), None, r"recipe\.steps, rows differ\."),
    ],
)
def test_a_folder_that_holds_another_run_is_refused_and_left_alone(
    chat_model: ChatModel,
    tmp_path: Path,
    rows: list[Conversation],
    anchor: list[Conversation],
    recipe: Recipe,
    start: SteeringVector | None,
    field: str,
):
    train(chat_model, ROWS, changed(steps=2), anchor=ANCHOR, out=tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    recipe = recipe if recipe.steps == 3 else changed(recipe, steps=2)
    with pytest.raises(RunFolderError, match=f"holds another run: {field}"):
        train(chat_model, rows, recipe, anchor=anchor, start=start, out=tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_run_is_not_continued_in_another_precision(chat_model: ChatModel, tmp_path: Path):
    train(chat_model, ROWS, changed(steps=1), anchor=ANCHOR, out=tmp_path)
    exact = ChatModel.from_parts(copy.deepcopy(chat_model.model).double(), chat_model.tokenizer, "exact")
    with pytest.raises(RunFolderError, match="holds another run: dtype differs"):
        train(exact, ROWS, changed(steps=1), anchor=ANCHOR, out=tmp_path)


def test_the_same_run_twice_at_once_in_one_folder_ends_as_one(
    chat_model: ChatModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    alone = train(chat_model, ROWS, RECIPE, anchor=ANCHOR)
    backward, calls, inner = Window.backward, [], []

    def with_another_run_in_between(self: Window, adapter: SteeringVector, step: int) -> object:
        calls.append(step)
        if len(calls) == 5:
            inner.append(train(chat_model, ROWS, RECIPE, anchor=ANCHOR, out=tmp_path))
        return backward(self, adapter, step)

    monkeypatch.setattr(Window, "backward", with_another_run_in_between)
    outer = train(chat_model, ROWS, RECIPE, anchor=ANCHOR, out=tmp_path)
    assert calls == [0, 1, 2, 3, 4, *range(3, 12), *range(5, 12)]
    for run in (*inner, outer, train(chat_model, ROWS, RECIPE, anchor=ANCHOR, out=tmp_path)):
        assert_same_run(run, alone)
