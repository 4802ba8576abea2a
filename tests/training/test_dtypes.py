"""Models in bf16 and fp16: adapters and losses stay in fp32, and a run is as sound as in fp32."""

import pytest
import torch
from training_helpers import ANCHOR, RECIPE, ROWS, assert_same_run, changed, make_window, vector

from narrows.adapters import LoRA
from narrows.evaluation import Question, generate_answers
from narrows.metrics import kl_of_rows, nll_of_rows
from narrows.models import ChatModel, FrozenRows, Head, load_chat_model, mean_residual_norm, token_kl
from narrows.training import train, window
from tiny_models import make_model, make_tokenizer

HALF = ("bfloat16", "float16")


@pytest.fixture(scope="module", params=HALF)
def half(request, tiny_model_dir) -> ChatModel:
    return load_chat_model(tiny_model_dir, device="cpu", dtype=request.param)


def test_the_model_is_in_the_dtype_that_was_asked_for(half, chat_model):
    assert half.precision in HALF
    assert all(str(one.dtype) == f"torch.{half.precision}" for one in half.model.parameters())
    assert half.precision != chat_model.precision == "float32"


@pytest.mark.parametrize("kind", ["steering", "lora"])
def test_training_follows_that_in_fp32(half, chat_model, kind):
    recipe = changed(adapter=kind)
    found, wanted = (train(one, ROWS, recipe, anchor=ANCHOR) for one in (half, chat_model))
    assert all(one.dtype == torch.float32 for one in found.adapter.parameters())
    assert found.log[-1]["loss"] < found.log[0]["loss"]
    assert found.log[0]["kl"] == pytest.approx(0.0, abs=1e-6)
    for mine, theirs in zip(found.log, wanted.log, strict=True):
        assert mine["loss"] == pytest.approx(theirs["loss"], rel=0.03)
        assert mine["kl"] == pytest.approx(theirs["kl"], rel=0.1, abs=3e-4)  # bf16 itself moves the states
    assert found.adapter.cosine(wanted.adapter) > 0.98


@pytest.mark.parametrize("kind", ["steering", "lora"])
def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(half, kind, tmp_path):
    recipe = changed(adapter=kind, steps=6)
    wanted = train(half, ROWS, recipe, anchor=ANCHOR)
    train(half, ROWS, recipe, anchor=ANCHOR, out=tmp_path)
    (tmp_path / "checkpoints" / "step-000006.safetensors").unlink()
    assert_same_run(train(half, ROWS, recipe, anchor=ANCHOR, out=tmp_path), wanted)


@pytest.mark.parametrize("kind", ["steering", "lora"])
def test_the_metrics_are_those_in_fp32(half, chat_model, kind):
    found = []
    for one in (half, chat_model):
        adapter = vector() if kind == "steering" else LoRA.fresh(one, layers=(1,))
        if kind == "lora":
            generator = torch.Generator().manual_seed(0)
            adapter = adapter.with_tensors(
                {n: 0.02 * torch.randn(t.shape, generator=generator) for n, t in adapter.tensors().items()}
            )
        rows = [one.renderer.render(row) for row in ROWS]
        nll = nll_of_rows(one, FrozenRows(one, adapter.depth, rows, read="response"), [adapter])
        everything = FrozenRows(one, adapter.depth, rows, read="all", reference=True)
        kl = kl_of_rows(one, everything, [adapter, adapter.scaled(0.5)])
        found.append([*nll.means, *kl.means, mean_residual_norm(one, 1, rows)])
    assert found[0] == pytest.approx(found[1], rel=0.05)


def test_answers_are_generated(half):
    asked = [Question("q", "what is the sea ?", "sea", "q")]
    for adapter in (vector(), LoRA.fresh(half)):
        assert len(generate_answers(half, asked, adapter=adapter, name="x", max_new_tokens=3)) == 1


@pytest.mark.parametrize("dtype", HALF)
def test_a_small_kl_over_a_large_vocabulary_keeps_its_digits(dtype):
    head = Head(make_model(vocab_size=152_064, initializer_range=0.02).to(getattr(torch, dtype)))
    generator = torch.Generator().manual_seed(0)
    reference = torch.randn(6, 32, generator=generator)
    near = reference + 0.25 * torch.randn(6, 32, generator=generator)
    states = [one.to(head.weight.dtype) for one in (reference, near)]
    wanted, found = (torch.log_softmax(one.double() @ head.weight.double().T, -1) for one in states)
    exact = (wanted.exp() * (wanted - found)).sum(-1)
    assert exact.mean() < 5e-4
    torch.testing.assert_close(token_kl(head, *states).double(), exact, rtol=0.02, atol=3e-6)


@pytest.mark.parametrize("dtype", HALF)
def test_a_small_kl_s_gradient_survives_the_mean_over_a_large_window(dtype, monkeypatch):
    """Each of 2,100 tokens has a share of the gradient that fp16 alone would round to 0."""
    recipe = changed(
        RECIPE,
        batch_size=20,
        accumulation=1,
        **{"anchor": RECIPE.anchor.model_dump() | {"rows_per_row": 5.0}},
    )
    gradients = {}
    for name in ("float32", dtype, "plain"):
        model = make_model(initializer_range=0.05).to(getattr(torch, dtype if name == "plain" else name))
        if name == "plain":
            monkeypatch.setattr(window, "FP16_LIFT", 1.0)
        one = ChatModel.from_parts(model, make_tokenizer(), "tiny")
        made, _ = make_window(one, recipe, rows=ROWS * 2, anchor=ANCHOR * 20)
        steered = vector(length=0.005)
        steered.vector.requires_grad_()
        for part in made._parts(made._kl, list(range(100)), 1.0):
            made._pass(steered, [part])
        gradients[name] = steered.vector.grad / made._lift
    agreement = {
        name: torch.cosine_similarity(one, gradients["float32"], dim=0) for name, one in gradients.items()
    }
    assert agreement[dtype] > 0.99
    if dtype == "float16":
        assert agreement["plain"] < 0.99
