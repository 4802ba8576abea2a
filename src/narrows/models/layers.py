"""Where the decoder layers of a Hugging Face model are; layers are counted from 0."""

from typing import TYPE_CHECKING

from torch import nn

from narrows.errors import AdapterError, ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_PLACES = (
    "model",  # Llama, Qwen, Mistral, Gemma, OLMo, Phi, …
    "model.language_model",  # multimodal wrappers: Gemma-3, Mistral-3, Qwen-VL
    "language_model.model",
    "language_model",
    "model.text_model",
    "gpt_neox",
    "transformer",
)
_NORMS = ("norm", "final_layernorm", "final_layer_norm")


def inner_model(model: "PreTrainedModel") -> "PreTrainedModel":
    """The module that holds the decoder layers as ``layers``, inside whatever wrappers the family has.

    Raises:
        ModelError: there is none at any known place.
    """
    for place in _PLACES:
        try:
            found = model.get_submodule(place)
        except AttributeError:
            continue
        layers = getattr(found, "layers", None)
        if isinstance(layers, nn.ModuleList) and len(layers):
            return found
    looked = ", ".join(f"{place}.layers" for place in _PLACES)
    raise ModelError(f"{type(model).__name__} has no decoder layers where they were looked for: {looked}.")


def decoder_layers(model: "PreTrainedModel") -> nn.ModuleList:
    """The decoder layers in order.

    Raises:
        ModelError: they could not be found.
    """
    layers = inner_model(model).layers
    assert isinstance(layers, nn.ModuleList)  # noqa: S101  (inner_model looked)
    return layers


def final_norm_name(inner: nn.Module) -> str:
    """The name, in ``inner``, of the norm that follows the last decoder layer.

    Raises:
        ModelError: there is none of a known name.
    """
    for name in _NORMS:
        if isinstance(getattr(inner, name, None), nn.Module):
            return name
    raise ModelError(f"{type(inner).__name__} has no final norm; looked for {', '.join(_NORMS)}.")


def check_layer(model: "PreTrainedModel", layer: int) -> None:
    """Check that the model has decoder layer ``layer``.

    Raises:
        AdapterError: it has not; says the valid range.
    """
    count = len(decoder_layers(model))
    if not 0 <= layer < count:
        raise AdapterError(
            f"layer {layer} is out of range: the model has {count} decoder layers, 0 to {count - 1}."
        )
