import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from narrows.chat import Renderer
from narrows.errors import ConfigError, ModelError
from narrows.models import ChatModel, load_chat_model
from tiny_models import make_model, make_tokenizer


@pytest.fixture
def folder(tiny_model_dir: Path, tmp_path: Path) -> Path:
    """A copy of the checkpoint, to be broken."""
    return Path(shutil.copytree(tiny_model_dir, tmp_path / "copy"))


def test_a_loaded_model_is_frozen_and_knows_its_shape(chat_model: ChatModel, tiny_model_dir: Path):
    assert (chat_model.layers, chat_model.hidden) == (4, 32)
    assert chat_model.vocabulary == chat_model.model.config.vocab_size
    assert chat_model.device == torch.device("cpu")
    assert not chat_model.model.training
    assert not any(parameter.requires_grad for parameter in chat_model.model.parameters())
    assert (chat_model.name, chat_model.revision) == (str(tiny_model_dir), None)


def test_the_tokenizer_is_the_one_that_was_saved(chat_model: ChatModel):
    text = "<|start|>user\nwhat is the sea ?<|end|>\n"
    assert chat_model.tokenizer(text)["input_ids"] == make_tokenizer()(text)["input_ids"]


def test_padding_falls_back_to_the_end_of_text():
    tokenizer = make_tokenizer()
    tokenizer.pad_token = None
    assert ChatModel.from_parts(make_model(), tokenizer, "tiny").pad_id == tokenizer.eos_token_id


def test_a_bf16_checkpoint_is_float32_on_a_cpu_unless_asked_otherwise(folder: Path):
    make_model().bfloat16().save_pretrained(folder)
    exact = load_chat_model(folder, device="cpu")
    assert exact.model.dtype == torch.float32
    assert load_chat_model(folder, device="cpu", dtype="bfloat16").model.dtype == torch.bfloat16
    assert load_chat_model(folder, device="cpu", dtype=torch.bfloat16).id == exact.id


def test_the_id_follows_the_weights_and_the_architecture_but_not_the_folder(
    folder: Path, chat_model: ChatModel
):
    assert load_chat_model(folder).id == chat_model.id
    changed = make_model()
    changed.model.layers[1].mlp.up_proj.weight.data[3, 5] += 1e-3
    assert ChatModel.from_parts(changed, make_tokenizer(), "tiny").id != chat_model.id
    other = make_model(rms_norm_eps=1e-5)
    assert ChatModel.from_parts(other, make_tokenizer(), "tiny").id != chat_model.id
    assert ChatModel.from_parts(make_model(), make_tokenizer(), "tiny").id == chat_model.id


@pytest.mark.parametrize("as_text", [False, True])
def test_a_missing_folder_is_told_from_a_hub_name(tmp_path: Path, as_text: bool):
    path = tmp_path / "nowhere"
    with pytest.raises(ModelError, match="nowhere is no checkpoint folder: it does not exist"):
        load_chat_model(str(path) if as_text else path)
    path.mkdir()
    with pytest.raises(ModelError, match=r"no config\.json"):
        load_chat_model(path)


def test_an_unreachable_hub_name_is_a_model_error():
    with pytest.raises(ModelError, match="nobody/nothing cannot be loaded"):
        load_chat_model("nobody/nothing")


def test_a_folder_without_a_chat_template_says_how_to_give_one(folder: Path):
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match=r"copy has no chat template.*chat_template\.jinja"):
        load_chat_model(folder)


def test_missing_weights_are_named_and_never_filled_at_random(folder: Path):
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.2.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"incomplete weights.*layers\.2\.mlp\.up_proj"):
        load_chat_model(folder)


def test_weights_cut_short_or_of_another_shape_are_a_model_error(folder: Path):
    file = folder / "model.safetensors"
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_chat_model(folder)
    file.write_bytes(data)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 48}))
    with pytest.raises(ModelError, match="copy"):
        load_chat_model(folder)


def test_a_model_that_is_not_finite_or_has_another_vocabulary_is_refused(folder: Path):
    broken = make_model()
    broken.model.layers[0].mlp.up_proj.weight.data[:] = float("nan")
    broken.save_pretrained(folder)
    with pytest.raises(ModelError, match="logits are not finite"):
        load_chat_model(folder)
    load_chat_model(folder, check=False)
    make_model(vocab_size=6, eos_token_id=3).save_pretrained(folder)
    with pytest.raises(ModelError, match="the model knows 6 tokens"):
        load_chat_model(folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
def test_a_json_file_cut_short_is_a_model_error(folder: Path, name: str):
    text = (folder / name).read_text()
    (folder / name).write_text(text[: len(text) // 2])
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_chat_model(folder)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"dtype": "float99"}, "dtype is 'float99'"),
        ({"dtype": "nn"}, "dtype is 'nn'"),
        ({"device": "gpu"}, "device is 'gpu'"),
        ({"device": "cuda:99"}, "device is 'cuda:99'"),
    ],
)
def test_an_impossible_dtype_or_device_is_a_config_error(tiny_model_dir: Path, options: dict, problem: str):
    with pytest.raises(ConfigError, match=problem):
        load_chat_model(tiny_model_dir, **options)


def test_a_model_without_decoder_layers_says_where_it_looked():
    model = make_model()
    del model.model.layers
    with pytest.raises(ModelError, match=r"no decoder layers.*model\.layers, model\.language_model\.layers"):
        ChatModel.from_parts(model, make_tokenizer(), "tiny")


def test_a_renderer_comes_with_the_model(chat_model: ChatModel):
    assert isinstance(chat_model.renderer, Renderer)
    assert chat_model.renderer.tokenizer is chat_model.tokenizer
