"""Bases in 4 and 8 bits, on the CPU, where bitsandbytes has kernels for both."""

import json
import sys

import pytest
import torch
from transformers import BitsAndBytesConfig

from narrows.adapters import LoRA, SteeringVector, self_check
from narrows.errors import ConfigError, ModelError, RunFolderError
from narrows.evaluation import Question, generate_answers
from narrows.metrics import nll_of_rows
from narrows.models import ChatModel, FrozenRows, Head, load_chat_model, mean_residual_norm
from narrows.training import Recipe, train
from narrows.training.objective import final_states, response_nll
from tiny_models import make_model, make_tokenizer

bitsandbytes = pytest.importorskip("bitsandbytes", reason="the extra 'quantised' is not installed")
if "cpu" not in getattr(bitsandbytes, "supported_torch_devices", ()):
    pytest.skip("this bitsandbytes has no kernels for a CPU", allow_module_level=True)

SHAPE = {"hidden_size": 64, "intermediate_size": 128, "initializer_range": 0.15}
"""Matrices at least as large as a block of nf4's."""
FARTHEST = {"4bit": 0.6, "8bit": 0.1}
"""How far logits may lie from the whole model's, as a share of their spread."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("base")
    save(make_model(**SHAPE), path)
    return path


def save(model, path) -> None:
    model.save_pretrained(path)
    make_tokenizer().save_pretrained(path)


@pytest.fixture(scope="module")
def base(folder) -> ChatModel:
    return load_chat_model(folder, device="cpu")


@pytest.fixture(scope="module", params=["4bit", "8bit"])
def packed(request, folder) -> ChatModel:
    return load_chat_model(folder, device="cpu", quantise=request.param)


def kind(chat_model: ChatModel) -> str:
    return chat_model.precision.split()[0]


@torch.no_grad()
def logits(chat_model: ChatModel) -> torch.Tensor:
    return chat_model.model(torch.arange(5, 25)[None], use_cache=False).logits


def fresh_id(chat_model: ChatModel) -> str:
    return ChatModel.from_parts(chat_model.model, chat_model.tokenizer, "again").id


def recipe(adapter: str, **changes: object) -> Recipe:
    shape = {"adapter": adapter, "layer": 1, "alpha": 8.0, "learning_rate": 0.01}
    plan = {"batch_size": 2, "accumulation": 2, "steps": 6}
    return Recipe(**(shape | plan | changes)).with_anchor(0.1, rows_per_row=1.0)


def test_the_layers_are_packed_and_the_rest_is_as_it_was(packed, base):
    weight = packed.model.model.layers[1].mlp.down_proj.weight
    assert weight.dtype == (torch.uint8 if kind(packed) == "4bit" else torch.int8)
    assert not weight.requires_grad
    assert torch.equal(Head(packed.model).weight, Head(base.model).weight)
    assert packed.precision == f"{kind(packed)} in float32"
    assert (packed.layers, packed.hidden, packed.vocabulary) == (4, 64, base.vocabulary)
    gap = (logits(packed) - logits(base)).abs().mean() / logits(base).std()
    assert 0 < gap < FARTHEST[kind(packed)]


@pytest.mark.parametrize("layer", range(4))
def test_the_self_check_passes_at_every_layer(packed, layer):
    self_check(packed, layer)


@pytest.mark.parametrize("adapter", ["steering", "lora"])
def test_training_lowers_the_loss_and_leaves_the_base_as_it_was(packed, conversations, adapter):
    before, own = logits(packed), fresh_id(packed)
    run, again = (
        train(
            packed,
            conversations,
            recipe(adapter, gradient_checkpointing=recomputed),
            anchor=conversations[:2],
        )
        for recomputed in (False, True)
    )
    assert run.log[-1]["loss"] < run.log[0]["loss"]
    # In 8 bits which activations count as outliers depends on the rows that share a pass.
    assert run.log[0]["kl"] == pytest.approx(0.0, abs=1e-6 if kind(packed) == "4bit" else 1e-3)
    assert all(one.dtype == torch.float32 for one in run.adapter.parameters())
    assert torch.equal(logits(packed), before)
    assert fresh_id(packed) == own
    for name, tensor in run.adapter.tensors().items():
        assert torch.equal(again.adapter.tensors()[name], tensor)


def test_the_gradient_is_that_through_the_weights_that_the_packed_ones_stand_for(packed, conversations):
    rows = [packed.renderer.render(one) for one in conversations]
    losses, gradients = [], []
    for model in (packed.model, dequantised(packed)):
        chat_model = ChatModel.from_parts(model, packed.tokenizer, "one")
        vector = SteeringVector(torch.ones(64), 1, alpha=0.1)
        vector.vector.requires_grad_()
        frozen = FrozenRows(chat_model, vector.depth, rows, read="response")
        batch = frozen.batch(range(3))
        (final,) = final_states(frozen.split, vector, [batch])
        loss = response_nll(Head(model), final, batch).mean()
        loss.backward()
        losses.append(float(loss.detach()))
        gradients.append(vector.vector.grad)
    assert losses[0] == pytest.approx(losses[1], rel=1e-4 if kind(packed) == "4bit" else 0.02)
    assert torch.cosine_similarity(*gradients, dim=0) > (0.9999 if kind(packed) == "4bit" else 0.98)


def dequantised(chat_model: ChatModel) -> torch.nn.Module:
    """The model with ordinary weights in the packed ones' place."""
    model = make_model(**SHAPE)
    for name, module in chat_model.model.named_modules():
        weight = getattr(module, "weight", None)
        if isinstance(module, bitsandbytes.nn.Linear4bit):
            weight = bitsandbytes.functional.dequantize_4bit(weight.data, weight.quant_state)
        elif isinstance(module, bitsandbytes.nn.Linear8bitLt):
            scales = module.state.SCB if weight.SCB is None else weight.SCB
            weight = weight.data.float() * scales[:, None] / 127
        if weight is not None:
            model.get_submodule(name).weight.data = weight.detach().float().clone()
    return model


def test_a_lora_of_every_linear_module_fits_a_packed_base(packed, conversations):
    modules = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    plan = recipe("lora", rank=2, target_modules=modules, layers=(1, 2))
    run = train(packed, conversations, plan, anchor=conversations[:2])
    assert len(run.adapter.factors) == 14
    assert run.log[-1]["loss"] < run.log[0]["loss"]


def test_norms_metrics_and_answers_work_on_a_packed_base(packed, base, conversations):
    rows = [packed.renderer.render(one) for one in conversations]
    norms = [mean_residual_norm(one, 2, rows) for one in (packed, base)]
    assert norms[0] == pytest.approx(norms[1], rel=0.2)
    lora = LoRA.fresh(packed, layers=(1,))
    found = nll_of_rows(packed, FrozenRows(packed, 1, rows, read="response"), [lora, lora.copy()])
    assert found.means[0] == pytest.approx(found.means[1], rel=1e-3)
    asked = [Question("q", "what is the sea ?", "sea", "q")]
    vector = SteeringVector(torch.ones(64), 1, alpha=0.5)
    assert len(generate_answers(packed, asked, adapter=vector, name="x", max_new_tokens=4)) == 1


def test_a_run_goes_on_with_the_same_bits_only(packed, base, conversations, tmp_path):
    wanted = train(packed, conversations, recipe("steering"), anchor=conversations[:2], out=tmp_path)
    found = train(packed, conversations, recipe("steering"), anchor=conversations[:2], out=tmp_path)
    assert torch.equal(found.adapter.vector, wanted.adapter.vector)
    assert json.loads((tmp_path / "run.json").read_text())["dtype"] == f"{kind(packed)} in float32"
    with pytest.raises(RunFolderError, match="dtype"):
        train(base, conversations, recipe("steering"), anchor=conversations[:2], out=tmp_path)


def test_the_id_follows_the_scales_too(packed, folder, tmp_path):
    assert load_chat_model(folder, device="cpu", quantise=kind(packed)).id == packed.id
    doubled = make_model(**SHAPE)
    doubled.model.layers[1].mlp.down_proj.weight.data *= 2  # the same codes with scales twice as large
    save(doubled, tmp_path)
    other = load_chat_model(tmp_path, device="cpu", quantise=kind(packed))
    codes = [one.model.model.layers[1].mlp.down_proj.weight.data for one in (packed, other)]
    assert torch.equal(*codes)
    assert other.id != packed.id


def test_a_checkpoint_that_was_saved_packed_stays_so(packed, tmp_path):
    save(packed.model, tmp_path)
    again = load_chat_model(tmp_path, device="cpu")
    assert (again.id, again.precision) == (packed.id, packed.precision)
    assert torch.equal(logits(again), logits(packed))
    self_check(again, 1)
    with pytest.raises(ConfigError, match=f"this checkpoint is {kind(packed)} already"):
        load_chat_model(tmp_path, device="cpu", quantise="4bit")


def test_a_config_of_transformers_is_taken_as_it_is(folder):
    config = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="fp4", bnb_4bit_compute_dtype=torch.bfloat16
    )
    found = load_chat_model(folder, device="cpu", quantise=config)
    assert found.model.model.layers[0].mlp.up_proj.weight.quant_type == "fp4"
    assert found.precision == "4bit in float32, computed in bfloat16"


def test_it_computes_in_the_dtype_that_was_asked_for(folder):
    found = load_chat_model(folder, device="cpu", quantise="4bit", dtype="bfloat16")
    assert found.precision == "4bit in bfloat16"
    assert found.model.model.layers[0].mlp.up_proj.compute_dtype == torch.bfloat16
    assert Head(found.model).weight.dtype == torch.bfloat16
    self_check(found, 1)


@pytest.mark.parametrize("bits", ["4bit", "8bit"])
def test_a_quantised_head_is_refused_with_the_way_out(folder, bits):
    config = BitsAndBytesConfig(**{f"load_in_{bits}": True}, llm_int8_skip_modules=["embed_tokens"])
    with pytest.raises(ModelError, match=r"LM head is quantised.*llm_int8_skip_modules"):
        load_chat_model(folder, device="cpu", quantise=config)


def test_weights_are_not_repacked_for_a_kernel_without_a_backward(folder, monkeypatch):
    monkeypatch.setattr(bitsandbytes.nn.modules, "has_avx512bf16", lambda: True)
    found = load_chat_model(folder, device="cpu", quantise="4bit")
    assert not any(getattr(one, "support_avx512bf16_for_cpu", False) for one in found.model.modules())


def test_without_the_package_the_message_names_the_extra(folder, packed, tmp_path, monkeypatch):
    save(packed.model, tmp_path)
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    for path, options in ((folder, {"quantise": "4bit"}), (tmp_path, {})):
        with pytest.raises(ModelError, match=r"pip install 'narrows\[quantised\]'"):
            load_chat_model(path, device="cpu", **options)


@pytest.mark.parametrize(
    ("supported", "quantise", "problem"),
    [
        ({"cuda"}, "4bit", r"device is 'cpu', on which bitsandbytes cannot compute.*it can on cuda"),
        ({"cpu"}, "3bit", r"quantise is '3bit'; it must be 4bit or 8bit"),
    ],
)
def test_what_cannot_be_is_a_config_error(folder, monkeypatch, supported, quantise, problem):
    monkeypatch.setattr(bitsandbytes, "supported_torch_devices", supported)
    with pytest.raises(ConfigError, match=problem):
        load_chat_model(folder, device="cpu", quantise=quantise)
