import pytest
from transformers import Gemma3Config, Gemma3ForConditionalGeneration, GPTNeoXConfig, GPTNeoXForCausalLM

from narrows.errors import AdapterError
from narrows.models import check_layer, decoder_layers, inner_model
from tiny_models import make_model


def test_the_layers_of_a_plain_model_are_its_own():
    model = make_model()
    assert inner_model(model) is model.model
    assert decoder_layers(model) is model.model.layers


def test_the_layers_of_a_multimodal_model_are_its_language_model_s():
    text = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "head_dim": 8,
    }
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = Gemma3ForConditionalGeneration(
        Gemma3Config(text_config=text | {"vocab_size": 32}, vision_config=vision)
    )
    assert inner_model(model) is model.model.language_model
    assert len(decoder_layers(model)) == 3


def test_other_names_of_the_inner_model_are_known():
    config = GPTNeoXConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2, vocab_size=32
    )
    model = GPTNeoXForCausalLM(config)
    assert decoder_layers(model) is model.gpt_neox.layers


@pytest.mark.parametrize("layer", [-1, 4])
def test_a_layer_out_of_range_is_refused_with_the_range(layer: int):
    model = make_model()
    with pytest.raises(AdapterError, match=rf"layer {layer} is out of range.*0 to 3"):
        check_layer(model, layer)
    check_layer(model, 3)
