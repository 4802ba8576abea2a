"""A model whose layers lie on two devices does everything that it does on one, and nothing strays.

Generation makes tensors in a way that these devices cannot follow; ``benchmarks/gpu_check.py`` has it.
"""

import numpy as np
import pytest
import torch
from accelerate import dispatch_model

from devices import FIRST, SECOND, TwoDevices
from narrows.adapters import LoRA, SteeringVector, self_check
from narrows.metrics import efficiency, significance, stability
from narrows.models import ChatModel, FrozenRows, Head, mean_residual_norm, residual_covariance
from narrows.training import Recipe, train
from tiny_models import make_model, make_tokenizer

BOUNDARY = 2
"""Layers from this one on lie on the second device."""


@pytest.fixture(autouse=True)
def two_devices():
    with TwoDevices():
        yield


@pytest.fixture
def models(request) -> tuple[ChatModel, ChatModel]:
    """A chat model on the CPU, and the same spread over two devices as transformers' device map does it.

    A head that is tied lies on the first device, with the embedding.
    """
    tied = getattr(request, "param", False)
    whole, spread = make_model(tie_word_embeddings=tied), make_model(tie_word_embeddings=tied)
    places = {"model.embed_tokens": FIRST, "model.rotary_emb": FIRST, "model.norm": SECOND}
    places |= {f"model.layers.{n}": FIRST if n < BOUNDARY else SECOND for n in range(4)}
    places["lm_head"] = FIRST if tied else SECOND
    if tied:
        whole.lm_head.weight = whole.model.embed_tokens.weight
        spread.lm_head.weight = spread.model.embed_tokens.weight
    spread = dispatch_model(spread.requires_grad_(False), places, main_device=FIRST)
    tokenizer = make_tokenizer()
    return tuple(ChatModel.from_parts(one, tokenizer, "tiny") for one in (whole, spread))


def recipe(kind: str, layer: int, **changes: object) -> Recipe:
    return Recipe(
        adapter=kind,
        layer=layer,
        layers=(1, 3) if kind == "lora" else None,
        alpha=8.0,
        learning_rate=0.01,
        batch_size=2,
        accumulation=2,
        steps=3,
        **changes,
    ).with_anchor(0.5, rows_per_row=1.0)


def test_the_simulation_refuses_to_mix_devices():
    here, there = torch.ones(3).to(FIRST), torch.ones(3).to(SECOND)
    with pytest.raises(RuntimeError, match="different devices"):
        here + there
    with pytest.raises(RuntimeError, match="different devices"):
        here[there.bool()]
    assert (here + there.to(FIRST)).to("cpu").tolist() == [2, 2, 2]


@pytest.mark.parametrize("models", [False, True], indirect=True)
def test_the_model_is_spread_and_has_the_id_of_the_whole(models):
    whole, spread = models
    assert {str(one.device) for one in spread.model.parameters()} == {"meta:0", "meta:1"}
    assert spread.device == FIRST
    assert spread.id == whole.id


@pytest.mark.parametrize("layer", range(4))
@pytest.mark.parametrize("models", [False, True], indirect=True)
def test_the_self_check_passes_at_every_layer(models, layer: int):
    self_check(models[1], layer)


@pytest.mark.parametrize(
    ("models", "kind", "layer", "checkpointing"),
    [
        (False, "steering", 0, False),
        (False, "steering", 1, True),
        (True, "steering", 2, False),
        (True, "lora", 1, False),
        (False, "lora", 1, True),
    ],
    indirect=["models"],
)
def test_training_is_that_on_one_device(models, conversations, kind: str, layer: int, checkpointing: bool):
    whole, spread = (
        train(
            one,
            conversations,
            recipe(kind, layer, gradient_checkpointing=checkpointing),
            anchor=conversations[:2],
        )
        for one in models
    )
    for found, wanted in zip(spread.log, whole.log, strict=True):
        for name in ("loss", "kl", "effective_norm"):
            assert found[name] == pytest.approx(wanted[name], rel=1e-3, abs=1e-5)
    for name, tensor in spread.adapter.tensors().items():
        torch.testing.assert_close(tensor.to("cpu"), whole.adapter.tensors()[name], rtol=0.02, atol=1e-4)


def test_a_run_goes_on_from_its_checkpoint_bit_for_bit(models, conversations, tmp_path):
    spread = models[1]
    plan = recipe("lora", 1, checkpoint_every=1)
    wanted = train(spread, conversations, plan, anchor=conversations[:2])
    run = train(spread, conversations, plan, anchor=conversations[:2], out=tmp_path)
    (tmp_path / "checkpoints" / "step-000003.safetensors").unlink()
    again = train(spread, conversations, plan, anchor=conversations[:2], out=tmp_path)
    for name, tensor in wanted.adapter.tensors().items():
        assert torch.equal(run.adapter.tensors()[name], tensor)
        assert torch.equal(again.adapter.tensors()[name], tensor)
        assert again.adapter.tensors()[name].device == tensor.device


def test_an_adapter_is_placed_beside_what_it_changes(models):
    model = models[1].model
    for layer, device in ((0, FIRST), (1, FIRST), (2, SECOND), (3, SECOND)):
        assert SteeringVector(torch.ones(32), layer).placed(model).vector.device == device
    lora = LoRA.fresh(models[1], layers=(1, 2)).placed(model)
    for name, pair in lora.factors.items():
        assert {one.device for one in pair} == {FIRST if name.startswith("1.") else SECOND}


def test_an_adapter_from_a_file_acts_wherever_the_layers_lie(models):
    whole, spread = models
    ids = torch.tensor([[5, 6, 7, 8, 9]])
    lora = LoRA.fresh(whole, layers=(0, 3))
    generator = torch.Generator().manual_seed(0)
    lora = lora.with_tensors(
        {n: torch.randn(t.shape, generator=generator) for n, t in lora.tensors().items()}
    )
    for adapter in (SteeringVector(torch.ones(32), 2, alpha=0.5), lora):
        with torch.no_grad(), adapter.attach(whole), adapter.attach(spread):
            wanted = whole.model(input_ids=ids).logits
            found = spread.model(input_ids=ids.to(FIRST)).logits
        torch.testing.assert_close(found.to("cpu"), wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", ["steering", "lora"])
def test_the_metrics_are_those_on_one_device(models, conversations, kind: str):
    found = []
    start = SteeringVector(torch.ones(32), 1, alpha=0.1) if kind == "steering" else None
    for chat_model in models:
        adapter = start or LoRA.fresh(chat_model, layers=(1,), seed=3).random_like(
            torch.Generator().manual_seed(0)
        )
        adapter = (
            adapter
            if kind == "steering"
            else adapter.with_tensors({n: torch.full(t.shape, 0.1) for n, t in adapter.tensors().items()})
        )
        rows = [chat_model.renderer.render(one) for one in conversations]
        response = FrozenRows(chat_model, adapter.depth, rows, read="response")
        everything = FrozenRows(chat_model, adapter.depth, rows, read="all", reference=True)
        ends = {"a": adapter, "b": adapter.random_like(torch.Generator().manual_seed(1))}
        norms = np.array([0.5, 1.0]) * adapter.effective_norm
        loss = efficiency(chat_model, response, ends, norms)
        rise = stability(chat_model, response, ends, draws=2, epsilons=(0.1, 0.5))
        moved = significance(chat_model, everything, ends, norms)
        found.append(
            [
                loss["a"].mean,
                loss["b"].mean,
                rise["a"].relative.mean,
                *(one.mean for one in moved["all"].values()),
            ]
        )
    for mine, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=2e-3)


def test_the_residual_stream_is_measured_on_either_device(models, conversations):
    rows = [models[0].renderer.render(one) for one in conversations]
    for layer in range(4):
        norms = [mean_residual_norm(one, layer, rows, 2) for one in models]
        assert norms[1] == pytest.approx(norms[0], rel=1e-4)
    covariances = [residual_covariance(one, 3, rows) for one in models]
    torch.testing.assert_close(covariances[1], covariances[0], rtol=1e-3, atol=1e-4)


def test_states_stay_where_their_layer_lies(models, conversations):
    spread = models[1]
    rows = [spread.renderer.render(one) for one in conversations]
    for depth, device in ((1, FIRST), (2, FIRST), (3, SECOND)):
        batch = FrozenRows(spread, depth, rows, read="all", reference=True).batch([0, 1])
        assert batch.hidden.device == device
        assert batch.reference.device == SECOND
        assert batch.targets.device == FIRST
    assert Head(spread.model).device == SECOND
