"""Adapters in other tools' formats: read by those tools, and read back."""

import json

import gguf
import numpy as np
import peft
import pytest
import torch

from families import family
from narrows.adapters import LoRA, SteeringVector
from narrows.adapters.interchange import read_peft, read_published, read_published_run, write_gguf, write_peft
from narrows.chat import collate
from narrows.errors import AdapterError
from narrows.models import ChatModel, load_chat_model


@pytest.fixture
def vector() -> SteeringVector:
    return SteeringVector(0.01 * torch.randn(32, generator=torch.Generator().manual_seed(1)), 2)


@pytest.fixture
def lora(chat_model) -> LoRA:
    fresh = LoRA.fresh(chat_model, rank=3, targets=("down_proj", "q_proj"), layers=(1, 2), alpha=8.0)
    generator = torch.Generator().manual_seed(1)
    return fresh.with_tensors(
        {name: 0.1 * torch.randn(one.shape, generator=generator) for name, one in fresh.tensors().items()}
    )


def logits(model, chat_model, conversations):
    batch = collate([chat_model.renderer.render(row) for row in conversations], chat_model.pad_id)
    with torch.no_grad():
        return model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits


# The published layouts


def test_a_published_dictionary_is_read_and_alpha_stays_apart(tmp_path):
    path = tmp_path / "steering_vector.pt"
    values = torch.randn(32, 1)
    torch.save({"steering_vector": values, "layer_idx": 24, "d_model": 32, "alpha": 128.0}, path)
    found = read_published(path)
    assert torch.equal(found.vector, values[:, 0])
    assert (found.layer, found.alpha) == (24, 128.0)


def test_both_layouts_of_a_run_are_read_in_the_order_of_their_numbers(tmp_path):
    for step in (100, 5, 20):
        folder = tmp_path / "first" / "checkpoints" / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        torch.save(
            {
                "steering_vector": torch.full((8, 1), float(step)),
                "layer_idx": 3,
                "d_model": 8,
                "alpha": 256.0,
            },
            folder / "steering_vector.pt",
        )
    bare = tmp_path / "second"
    bare.mkdir()
    for step in (100, 5, 20):
        torch.save(torch.full((8, 1), float(step)), bare / f"steering_vector_checkpoint_{step}.pt")
    (bare / "metadata.json").write_text(json.dumps({"layer_idx": 3}))
    for name in ("first", "second"):
        run = read_published_run(tmp_path / name)
        assert list(run) == [5, 20, 100]
        assert all(float(one.vector[0]) == step and one.layer == 3 for step, one in run.items())
        assert run[5].alpha == 256.0


def test_a_bare_tensor_without_a_layer_wants_one(tmp_path):
    torch.save(torch.ones(8), tmp_path / "a.pt")
    with pytest.raises(AdapterError, match="does not say its layer"):
        read_published(tmp_path / "a.pt")
    assert read_published(tmp_path / "a.pt", layer=4).layer == 4


class Hostile:
    def __reduce__(self):
        return (open, ("hostile", "w"))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (Hostile(), "is never run"),
        ({"steering_vector": torch.ones(4, 2), "layer_idx": 1}, "holds no steering vector"),
        ({"other": 1}, "holds no steering vector"),
        (torch.ones(4).to_sparse(), "holds no steering vector"),
        (torch.ones(4, dtype=torch.complex64), "holds no steering vector"),
        (torch.ones(0), "holds no steering vector"),
        (torch.tensor([1.0, torch.nan]), "is not finite"),
        ({"steering_vector": torch.ones(4), "layer_idx": 1, "d_model": 8}, "says that the width is 8"),
    ],
)
def test_a_hostile_or_wrong_file_is_refused(tmp_path, monkeypatch, content, problem):
    monkeypatch.chdir(tmp_path)
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(AdapterError, match=problem):
        read_published("a.pt")
    assert not (tmp_path / "hostile").exists()


def test_a_file_cut_short_or_missing_and_a_folder_of_none_are_refused(tmp_path):
    path = tmp_path / "a.pt"
    torch.save(torch.ones(8), path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(AdapterError, match="cannot be read as plain tensors"):
        read_published(path, layer=1)
    with pytest.raises(AdapterError, match="does not exist"):
        read_published(tmp_path / "none.pt")
    with pytest.raises(AdapterError, match="holds no published checkpoints"):
        read_published_run(tmp_path)


# PEFT


def test_peft_loads_what_is_written_and_it_is_read_back(
    tiny_model_dir, chat_model, lora, conversations, tmp_path
):
    with lora.attach(chat_model):
        wanted = logits(chat_model.model, chat_model, conversations)
    write_peft(lora, tmp_path, chat_model)
    model = peft.PeftModel.from_pretrained(load_chat_model(tiny_model_dir, device="cpu").model, tmp_path)
    assert torch.equal(logits(model, chat_model, conversations), wanted)
    found = read_peft(tmp_path)
    assert (found.alpha, found.rslora) == (8.0, True)
    assert found.tensors().keys() == lora.tensors().keys()
    assert all(torch.equal(found.tensors()[name], one) for name, one in lora.tensors().items())


def test_what_peft_saves_is_read(tiny_model_dir, chat_model, conversations, tmp_path):
    config = peft.LoraConfig(r=2, lora_alpha=4, target_modules=["up_proj", "v_proj"], init_lora_weights=False)
    model = peft.get_peft_model(load_chat_model(tiny_model_dir, device="cpu").model, config)
    model.save_pretrained(tmp_path)
    found = read_peft(tmp_path)
    assert (found.rank, found.alpha, found.rslora, found.layers) == (2, 4.0, False, [0, 1, 2, 3])
    with found.attach(chat_model):
        ours = logits(chat_model.model, chat_model, conversations)
    assert torch.equal(ours, logits(model, chat_model, conversations))


def test_a_vector_becomes_a_bias_that_peft_loads(tiny_model_dir, chat_model, vector, conversations, tmp_path):
    with vector.attach(chat_model):
        wanted = logits(chat_model.model, chat_model, conversations)
    write_peft(vector, tmp_path, chat_model)
    model = peft.PeftModel.from_pretrained(load_chat_model(tiny_model_dir, device="cpu").model, tmp_path)
    assert torch.allclose(logits(model, chat_model, conversations), wanted, atol=1e-5)
    with pytest.raises(AdapterError, match="sets lora_bias to True"):
        read_peft(tmp_path)


@pytest.mark.parametrize("name", ["gemma2", "gemma3_text", "olmo2"])
def test_where_a_norm_follows_no_bias_is_the_vector(chat_model, vector, tmp_path, name):
    other = ChatModel.from_parts(family(name, vocab_size=64), chat_model.tokenizer, name)
    with pytest.raises(AdapterError, match="is not a steering vector"):
        write_peft(vector, tmp_path / "out", other)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"peft_type": "IA3"}, "only LORA can be read"),
        ({"use_dora": True}, "sets use_dora to True"),
        ({"rank_pattern": {"q_proj": 4}}, "sets rank_pattern"),
        ({"modules_to_save": ["lm_head"]}, "sets modules_to_save"),
    ],
)
def test_what_a_lora_here_cannot_have_is_refused(chat_model, lora, tmp_path, changes, problem):
    write_peft(lora, tmp_path, chat_model)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps(config | changes))
    with pytest.raises(AdapterError, match=problem):
        read_peft(tmp_path)


def test_factors_that_are_not_finite_are_refused(chat_model, lora, tmp_path):
    write_peft(lora.scaled(float("nan")), tmp_path, chat_model)
    with pytest.raises(AdapterError, match="is not finite"):
        read_peft(tmp_path)


def test_a_peft_folder_with_something_missing_or_damaged_is_refused(chat_model, lora, tmp_path):
    with pytest.raises(AdapterError, match="is no whole PEFT folder"):
        read_peft(tmp_path)
    write_peft(lora, tmp_path, chat_model)
    weights = tmp_path / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-20])
    with pytest.raises(AdapterError, match="is cut short or damaged"):
        read_peft(tmp_path)


# GGUF


def test_a_control_vector_is_read_by_the_gguf_package(vector, tmp_path):
    reader = gguf.GGUFReader(write_gguf(vector, tmp_path / "v.gguf", "qwen2"))
    fields = {name: field.contents() for name, field in reader.fields.items()}
    assert fields["general.architecture"] == "controlvector"
    assert fields["controlvector.model_hint"] == "qwen2"
    assert fields["controlvector.layer_count"] == 1
    (tensor,) = reader.tensors
    assert tensor.name == "direction.2"
    np.testing.assert_array_equal(tensor.data, vector.effective.numpy())


def test_layer_0_has_no_place_in_a_control_vector(tmp_path):
    with pytest.raises(AdapterError, match="no direction for layer 0"):
        write_gguf(SteeringVector(torch.ones(4), 0), tmp_path / "v.gguf", "qwen2")
