"""Layers that accelerate keeps off the device, on the CPU's memory or on disk, between their passes."""

import pytest
import torch
from accelerate import dispatch_model

from narrows.adapters import SteeringVector, self_check
from narrows.errors import ModelError
from narrows.models import ChatModel, Head, device_of, load_chat_model
from narrows.training import Recipe, train
from tiny_models import make_model, make_tokenizer

CPU = torch.device("cpu")


def offloaded(head: bool, folder=None) -> ChatModel:
    """The upper layers, and if wished the head, are brought in for each pass."""
    places = {f"model.layers.{n}": "disk" if n > 1 else CPU for n in range(4)}
    places |= {"model.embed_tokens": "disk" if head else CPU, "model.rotary_emb": CPU, "model.norm": CPU}
    model = dispatch_model(
        make_model(), places | {"lm_head": "disk" if head else CPU}, main_device=CPU, offload_dir=folder
    )
    return ChatModel.from_parts(model, make_tokenizer(), "tiny")


def test_offloaded_layers_train_as_layers_in_memory_do(chat_model, conversations, tmp_path):
    away = offloaded(head=False, folder=tmp_path)
    assert away.model.model.layers[3].mlp.down_proj.weight.is_meta
    assert device_of(away.model.model.layers[3]) == CPU
    self_check(away, 2)
    assert away.id == chat_model.id
    for kind, checkpointing in (("steering", False), ("lora", True)):
        recipe = Recipe(
            adapter=kind,
            layer=2,
            alpha=8.0,
            learning_rate=0.01,
            batch_size=2,
            accumulation=1,
            steps=3,
            gradient_checkpointing=checkpointing,
        ).with_anchor(0.5, rows_per_row=1.0)
        found, wanted = (
            train(one, conversations, recipe, anchor=conversations) for one in (away, chat_model)
        )
        assert found.log == wanted.log
        for name, tensor in wanted.adapter.tensors().items():
            assert torch.equal(found.adapter.tensors()[name], tensor)


def test_tokens_and_adapters_go_to_where_an_offloaded_part_computes(tmp_path):
    away = offloaded(head=True, folder=tmp_path)
    assert away.model.model.embed_tokens.weight.is_meta
    assert away.device == CPU
    assert SteeringVector(torch.ones(32), 3).placed(away.model).vector.device == CPU


def test_an_offloaded_head_is_refused_with_the_way_out(tmp_path):
    with pytest.raises(ModelError, match=r"LM head is offloaded.*device map"):
        Head(offloaded(head=True, folder=tmp_path).model)


def test_a_device_map_is_taken(tiny_model_dir, chat_model):
    found = load_chat_model(tiny_model_dir, device={"": "cpu"})
    assert (found.id, found.precision) == (chat_model.id, "float32")
