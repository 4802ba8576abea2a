"""Preventative steering: the model that reads the training rows is steered already, and nothing else is."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor
from training_helpers import ANCHOR, RECIPE, ROWS, assert_same_run, changed, vector

from narrows.adapters import Adapter, LoRA, SteeringVector
from narrows.errors import AdapterError, RunFolderError
from narrows.files import digest
from narrows.models import ChatModel, FrozenRows, decoder_layers
from narrows.training import Recipe, TrainingRun, train
from narrows.training.order import RowOrder
from narrows.training.prepare import anchor_rows, starting_point, training_rows
from narrows.training.window import Window

PLAIN = RECIPE.with_anchor(0.0)
LORA = changed(PLAIN, adapter="lora", rank=2, alpha=8.0)


@pytest.fixture(scope="module")
def exact(chat_model: ChatModel) -> ChatModel:
    """The chat model in fp64."""
    model = copy.deepcopy(chat_model.model).double()
    return ChatModel.from_parts(model, chat_model.tokenizer, chat_model.name)


def towards(layer: int, seed: int = 3, norm: float = 4.0) -> SteeringVector:
    """What the training is steered towards."""
    draw = torch.randn(32, generator=torch.Generator().manual_seed(seed))
    return SteeringVector(draw, layer, 2.0).scaled_to(norm)


@contextmanager
def shifted(chat_model: ChatModel, by: SteeringVector) -> Iterator[None]:
    """The model with a layer's output shifted for good, as if it had been trained so."""
    layer = decoder_layers(chat_model.model)[by.layer]
    handle = layer.register_forward_hook(lambda module, given, out: out + by.effective.to(out.dtype))
    try:
        yield
    finally:
        handle.remove()


def gradients(
    chat_model: ChatModel, recipe: Recipe, adapter: Adapter, by: Adapter | None
) -> dict[str, Tensor]:
    """The gradient of the first step's window."""
    rows, anchor = training_rows(chat_model, ROWS, recipe), anchor_rows(chat_model, ANCHOR, recipe)
    order, depth = RowOrder(recipe, len(rows), len(anchor)), adapter.depth
    Window(chat_model, recipe, order, rows=rows, anchor=anchor, depth=depth, preventative=by).backward(
        adapter, 0
    )
    found = {name: tensor.grad.clone() for name, tensor in adapter.tensors().items()}
    for parameter in adapter.parameters():
        parameter.grad = None
    return found


@pytest.mark.parametrize("recipe", [PLAIN, LORA], ids=["steering", "lora"])
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_the_gradient_is_that_of_the_explicitly_hooked_whole_model(
    exact: ChatModel, recipe: Recipe, layer: int
):
    adapter, by = starting_point(exact, recipe, None), towards(layer)
    found = gradients(exact, recipe, adapter, by)
    order = RowOrder(recipe, len(ROWS), 0)
    losses = []
    for place in order.training_rows(0):
        row = exact.renderer.render(ROWS[place])
        with shifted(exact, by), adapter.attach(exact):
            said = exact.model(input_ids=torch.tensor([row.input_ids])).logits[0, :-1].log_softmax(-1)
        picked = said[torch.arange(len(said)), torch.tensor(row.input_ids[1:])]
        losses.append(-picked[torch.tensor(row.response_mask[1:])])
    torch.cat(losses).mean().backward()
    without = gradients(exact, recipe, starting_point(exact, recipe, None), None)
    for name, tensor in adapter.tensors().items():
        torch.testing.assert_close(found[name], tensor.grad, rtol=1e-5, atol=1e-7)
        if tensor.grad.any():  # A gets none while B is 0
            assert not torch.allclose(found[name], without[name], rtol=0.05)


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_a_whole_training_is_that_of_a_model_whose_layer_is_shifted(
    exact: ChatModel, layer: int, monkeypatch: pytest.MonkeyPatch
):
    by = towards(layer)
    # Passes that are steered beside are not joined; so that both add up in one order, none are.
    monkeypatch.setattr("narrows.training.window.JOINED_TOKENS", {"cpu": 0})
    found = train(exact, ROWS, PLAIN, preventative=by)
    with shifted(exact, by):
        wanted = train(exact, ROWS, PLAIN)
    torch.testing.assert_close(found.adapter.vector, wanted.adapter.vector, rtol=1e-5, atol=1e-7)
    assert [e["loss"] for e in found.log] == pytest.approx([e["loss"] for e in wanted.log], rel=1e-9)
    assert found.log[0]["loss"] != pytest.approx(train(exact, ROWS, changed(PLAIN, steps=1)).log[0]["loss"])


def test_a_lora_can_be_what_is_steered_with(exact: ChatModel):
    fresh = LoRA.fresh(exact, rank=1, layers=(1, 2), alpha=8.0)
    generator = torch.Generator().manual_seed(1)
    by = fresh.with_tensors(
        {name: 0.2 * torch.randn(one.shape, generator=generator) for name, one in fresh.tensors().items()}
    )
    found = train(exact, ROWS, PLAIN, preventative=by)
    with by.attach(exact):
        wanted = train(exact, ROWS, PLAIN)
    torch.testing.assert_close(found.adapter.vector, wanted.adapter.vector, rtol=1e-5, atol=1e-7)
    assert found.log[0]["loss"] != pytest.approx(train(exact, ROWS, changed(PLAIN, steps=1)).log[0]["loss"])


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_the_anchor_s_rows_are_not_steered(exact: ChatModel, layer: int):
    # At the chat model its KL is 0, and would not be if one of the two sides were steered.
    run = train(exact, ROWS, changed(steps=1), anchor=ANCHOR, preventative=towards(layer))
    assert run.log[0]["kl"] == pytest.approx(0.0, abs=1e-12)
    # Elsewhere it is that of the same vector without steering, where the loss is another.
    steered, plain = (
        train(exact, ROWS, changed(steps=1, layer=None), anchor=ANCHOR, start=vector(), preventative=by)
        for by in (towards(layer), None)
    )
    assert steered.log[0]["kl"] == pytest.approx(plain.log[0]["kl"], rel=1e-9)
    assert steered.log[0]["kl"] > 0.01
    assert steered.log[0]["loss"] != pytest.approx(plain.log[0]["loss"], rel=1e-3)


def test_a_vector_beside_which_one_trains_is_the_sum_of_both_at_its_layer(chat_model: ChatModel):
    # What is trained beside w from 0 is what is trained from w on, less w: both see the same streams.
    start = vector()
    beside = train(chat_model, ROWS, PLAIN, preventative=start)
    along = train(chat_model, ROWS, PLAIN, start=start)
    assert beside.log[0]["loss"] == pytest.approx(along.log[0]["loss"], rel=1e-6)
    torch.testing.assert_close(
        beside.adapter.effective, along.adapter.effective - start.effective, rtol=1e-3, atol=1e-4
    )


def test_it_is_the_same_whether_the_frozen_states_are_kept_or_not(
    chat_model: ChatModel, monkeypatch: pytest.MonkeyPatch
):
    def both(layer: int) -> TrainingRun:
        return train(chat_model, ROWS, PLAIN, preventative=towards(layer))

    kept = [both(layer) for layer in (0, 2)]
    monkeypatch.setitem(FrozenRows.__init__.__kwdefaults__, "cache_bytes", 0)
    for layer, wanted in zip((0, 2), kept, strict=True):
        torch.testing.assert_close(both(layer).adapter.vector, wanted.adapter.vector, rtol=1e-4, atol=1e-6)


def test_it_is_gone_after_the_training_also_where_that_fails(
    chat_model: ChatModel, monkeypatch: pytest.MonkeyPatch
):
    def hooks() -> int:
        return sum(len(module._forward_hooks) for module in chat_model.model.modules())

    before = hooks()
    run = train(chat_model, ROWS, changed(steps=2), anchor=ANCHOR, preventative=towards(2))
    assert not run.adapter.metadata.get("preventative")
    monkeypatch.setattr("narrows.training.window.response_nll", None)
    with pytest.raises(TypeError):
        train(chat_model, ROWS, PLAIN, preventative=towards(2))
    assert hooks() == before


def test_resumed_is_uninterrupted_bit_for_bit(chat_model: ChatModel, tmp_path: Path):
    by = towards(2)
    whole = train(chat_model, ROWS, RECIPE, anchor=ANCHOR, preventative=by)
    backward = Window.backward

    def stopping(self: Window, adapter: Adapter, step: int) -> object:
        if step == 7:
            raise KeyboardInterrupt
        return backward(self, adapter, step)

    with pytest.MonkeyPatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Window, "backward", stopping)
        train(chat_model, ROWS, RECIPE, anchor=ANCHOR, preventative=by, out=tmp_path)
    assert_same_run(train(chat_model, ROWS, RECIPE, anchor=ANCHOR, preventative=by, out=tmp_path), whole)


def test_it_is_part_of_the_runs_identity_with_its_place_and_strength(
    chat_model: ChatModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    short = changed(PLAIN, steps=2)
    lora = LoRA.fresh(chat_model, layers=(1,), alpha=8.0)
    first = towards(1)
    train(chat_model, ROWS, short, out=tmp_path / "plain")
    train(chat_model, ROWS, short, preventative=first, out=tmp_path / "steered")
    train(chat_model, ROWS, short, preventative=lora, out=tmp_path / "lora")
    others = [None, towards(1, seed=4), first.scaled(2.0), towards(2), lora]
    stronger = LoRA(lora.factors, alpha=16.0)
    for folder, given in [("steered", one) for one in others] + [("lora", stronger), ("plain", first)]:
        with pytest.raises(RunFolderError, match="preventative differs"):
            train(chat_model, ROWS, short, preventative=given, out=tmp_path / folder)
    # A folder that knows nothing of it is that of a run without: it is found, and nothing is trained.
    assert "preventative" not in (tmp_path / "plain" / "run.json").read_text()
    monkeypatch.setattr(Window, "backward", None)
    train(chat_model, ROWS, short, out=tmp_path / "plain")
    train(chat_model, ROWS, short, preventative=first.with_alpha(8.0), out=tmp_path / "steered")


def test_a_continued_run_of_before_is_still_found(chat_model: ChatModel, tmp_path: Path):
    # The digest of a start is over its coordinates alone, as it was before other adapters took part.
    short = changed(PLAIN, steps=2, layer=None)
    train(chat_model, ROWS, short, start=vector(), out=tmp_path)
    assert digest(vector().coordinates().tolist()) in (tmp_path / "run.json").read_text()


def test_an_adapter_that_does_not_fit_is_refused_before_a_folder_is_made(
    chat_model: ChatModel, tmp_path: Path
):
    for by, problem in [(vector(hidden=16), "width 16"), (towards(7), "layer 7 is out of range")]:
        with pytest.raises(AdapterError, match=problem):
            train(chat_model, ROWS, PLAIN, preventative=by, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
