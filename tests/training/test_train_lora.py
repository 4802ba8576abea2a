"""LoRAs go through the same training as vectors: against PEFT's own gradient, and resumed to the bit."""

import peft
import pytest
import torch
from training_helpers import ANCHOR, ROWS, assert_same_adapter, assert_same_run, changed, vector

from narrows.adapters import LoRA, load_adapter
from narrows.errors import AdapterError
from narrows.geometry import read_trajectory
from narrows.models import load_chat_model
from narrows.training import train
from narrows.training.order import RowOrder
from narrows.training.prepare import anchor_rows, starting_point, training_rows
from narrows.training.window import Window

LORA = changed(
    adapter="lora", rank=2, layer=None, layers=(1, 2), target_modules=("down_proj", "q_proj"), alpha=8.0
)


def begun(chat_model, recipe=LORA, seed: int = 1) -> LoRA:
    """A LoRA that already does something, ready to be trained."""
    generator = torch.Generator().manual_seed(seed)
    fresh = starting_point(chat_model, recipe, None)
    assert isinstance(fresh, LoRA)
    filled = fresh.with_tensors(
        {name: 0.1 * torch.randn(one.shape, generator=generator) for name, one in fresh.tensors().items()}
    )
    for parameter in filled.parameters():
        parameter.requires_grad_()
    return filled


def window_of(chat_model, recipe, depth):
    rows, anchor = training_rows(chat_model, ROWS, recipe), anchor_rows(chat_model, ANCHOR, recipe)
    order = RowOrder(recipe, len(rows), len(anchor))
    return Window(chat_model, recipe, order, rows=rows, anchor=anchor, depth=depth), order, rows, anchor


def test_loss_and_gradient_are_those_of_pefts_model(tiny_model_dir, chat_model):
    adapter = begun(chat_model)
    window, order, rows, anchor = window_of(chat_model, LORA, adapter.depth)
    nll, kl = window.backward(adapter, 0)

    whole = load_chat_model(tiny_model_dir, device="cpu").model
    config = peft.LoraConfig(
        r=2, lora_alpha=8, use_rslora=True, target_modules=["down_proj", "q_proj"], layers_to_transform=[1, 2]
    )
    model = peft.get_peft_model(whole, config)
    named = dict(model.named_parameters())
    theirs = {
        f"{name}.{which}": named[f"base_model.model.model.layers.{name}.{which}.default.weight"]
        for name in adapter.factors
        for which in ("lora_A", "lora_B")
    }
    for name, tensor in adapter.tensors().items():
        theirs[name].data.copy_(tensor)

    def log_probabilities(row):
        return model(input_ids=torch.tensor([row.input_ids])).logits[0, :-1].log_softmax(-1)

    losses, divergences = [], []
    for place in order.training_rows(0):
        row = rows[place]
        mask = torch.tensor(row.response_mask[1:])
        picked = log_probabilities(row).gather(1, torch.tensor(row.input_ids[1:])[:, None])[:, 0]
        losses.append(-picked[mask])
    for place in order.anchor_rows(0):
        with model.disable_adapter(), torch.no_grad():
            chat = log_probabilities(anchor[place])
        divergences.append((chat.exp() * (chat - log_probabilities(anchor[place]))).sum(-1))
    wanted_nll, wanted_kl = torch.cat(losses).mean(), torch.cat(divergences).mean()
    (wanted_nll + 2.0 * wanted_kl).backward()
    assert nll == pytest.approx(float(wanted_nll), rel=1e-5)
    assert kl == pytest.approx(float(wanted_kl), rel=1e-4)
    for name, tensor in adapter.tensors().items():
        assert torch.allclose(tensor.grad, theirs[name].grad, rtol=1e-3, atol=1e-6), name


@pytest.mark.parametrize("weight", [0.0, 2.0])
def test_one_pass_of_eight_rows_is_eight_passes_of_one(chat_model, weight):
    gradients = []
    for batch, accumulation in ((8, 1), (1, 8)):
        recipe = changed(LORA, batch_size=batch, accumulation=accumulation).with_anchor(
            weight, rows_per_row=1.0
        )
        adapter = begun(chat_model, recipe)
        losses = window_of(chat_model, recipe, adapter.depth)[0].backward(adapter, 0)
        gradients.append((losses, [parameter.grad for parameter in adapter.parameters()]))
    (left, ours), (right, theirs) = gradients
    assert left[0] == pytest.approx(right[0], rel=1e-5)
    assert left[1] == (pytest.approx(right[1], rel=1e-5) if weight else None)
    for one, other in zip(ours, theirs, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-6)


def test_only_the_factors_are_trained_and_the_model_stays_itself(chat_model):
    before = {name: weight.clone() for name, weight in chat_model.model.named_parameters()}
    run = train(chat_model, ROWS, LORA, anchor=ANCHOR)
    assert run.log[-1]["loss"] < run.log[0]["loss"]
    assert (run.recipe.rank, run.recipe.layers, run.recipe.layer) == (2, (1, 2), 1)
    assert set(run.adapter.factors) == {
        f"{n}.{m}" for n in (1, 2) for m in ("mlp.down_proj", "self_attn.q_proj")
    }
    for name, weight in chat_model.model.named_parameters():
        assert torch.equal(weight, before[name])
        assert weight.grad is None


@pytest.mark.parametrize("step", [1, 3, 11])
def test_resumed_is_uninterrupted_bit_for_bit(chat_model, tmp_path, monkeypatch, step):
    wanted = train(chat_model, ROWS, LORA, anchor=ANCHOR)
    backward = Window.backward

    def stopping(self, adapter, number):
        result = backward(self, adapter, number)
        if number == step:
            raise RuntimeError("stop")
        return result

    with monkeypatch.context() as patched, pytest.raises(RuntimeError, match="stop"):
        patched.setattr(Window, "backward", stopping)
        train(chat_model, ROWS, LORA, anchor=ANCHOR, out=tmp_path)
    assert_same_run(train(chat_model, ROWS, LORA, anchor=ANCHOR, out=tmp_path), wanted)
    assert_same_adapter(load_adapter(tmp_path / "adapter.safetensors"), wanted.adapter)
    found = read_trajectory(tmp_path)
    for place, adapter in wanted.trajectory.items():
        if place:  # a fresh LoRA's A is not kept: scaled to nothing, the first checkpoint stands for it
            assert_same_adapter(found[place], adapter)
    assert found[0].effective_norm == 0


def test_the_norm_never_passes_the_recipes(chat_model):
    run = train(chat_model, ROWS, changed(LORA, max_norm=0.05), anchor=ANCHOR)
    norms = [entry["effective_norm"] for entry in run.log]
    assert max(norms) <= 0.05 * (1 + 1e-5)
    assert norms[-1] == pytest.approx(0.05, rel=1e-4)


def test_training_goes_on_from_one_and_not_from_another_kind(chat_model, tmp_path):
    first = train(chat_model, ROWS, LORA, anchor=ANCHOR, out=tmp_path / "first").adapter
    second = train(chat_model, ROWS, LORA, anchor=ANCHOR, start=first, out=tmp_path / "second")
    assert_same_adapter(second.trajectory[0], first)
    assert_same_adapter(read_trajectory(tmp_path / "second")[0], first)
    with pytest.raises(AdapterError, match=r"trains an adapter of kind 'lora', .* kind 'steering'"):
        train(chat_model, ROWS, LORA, start=vector())
    with pytest.raises(AdapterError, match=r"trains layer 2, .* sits at layer 1"):
        train(chat_model, ROWS, changed(LORA, layer=2), start=first)
