from functools import partial

import pytest
import torch

from narrows.adapters import self_check, steering
from narrows.errors import AdapterError, ModelError
from narrows.models import ChatModel, load_chat_model
from tiny_models import make_model, make_tokenizer


@pytest.mark.parametrize("layer", range(4))
def test_a_sound_model_passes_at_every_layer(chat_model: ChatModel, layer: int):
    self_check(chat_model, layer)


def test_a_sound_model_passes_in_bf16(tiny_model_dir):
    self_check(load_chat_model(tiny_model_dir, device="cpu", dtype="bfloat16"), 1)


def test_a_layer_out_of_range_is_refused(chat_model: ChatModel):
    with pytest.raises(AdapterError, match="0 to 3"):
        self_check(chat_model, 4)


def test_steering_only_the_first_row_is_caught(chat_model: ChatModel, monkeypatch: pytest.MonkeyPatch):
    def first_row_only(module, arguments, output, change):
        steered = output.clone()
        steered[0] = change(output[0])
        return steered

    monkeypatch.setattr(steering, "changes_output", lambda change: partial(first_row_only, change=change))
    with pytest.raises(ModelError, match=r"steering left rows \[1, 2\]"):
        self_check(chat_model, 1)


def test_a_change_that_stays_is_caught(monkeypatch: pytest.MonkeyPatch):
    def in_place(module, arguments, output, change):
        module.mlp.down_proj.weight.data.add_(0.01)
        return change(output)

    monkeypatch.setattr(steering, "changes_output", lambda change: partial(in_place, change=change))
    with pytest.raises(ModelError, match="not the same bit for bit"):
        self_check(ChatModel.from_parts(make_model(), make_tokenizer(), "tiny"), 1)


def test_a_model_that_cannot_be_cut_is_caught():
    chat_model = ChatModel.from_parts(make_model(), make_tokenizer(), "tiny")
    # Something between the layers and the logits that the split path knows nothing of.
    chat_model.model.lm_head.register_forward_hook(
        lambda module, arguments, output: torch.roll(output, 1, dims=-1)
    )
    with pytest.raises(ModelError, match="cannot be cut"):
        self_check(chat_model, 1)
