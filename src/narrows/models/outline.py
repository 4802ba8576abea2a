"""A model's shape from its config and tokenizer alone: no weights are read."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from narrows.chat import Renderer
from narrows.errors import ModelError
from narrows.models.chat_model import check_folder, load_tokenizer
from narrows.models.devices import check_dtype
from narrows.models.layers import decoder_layers
from narrows.models.quantised import BYTES, Bits, kind_of
from narrows.strict import one_line

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Outline:
    """What a model is before its weights are loaded.

    Attributes:
        renderer: renders chats for it.
        parameters: how many it has.
        weights: bytes that hold them, packed if it is quantised.
        itemsize: bytes of a number that it computes with.
        layers: decoder layers.
        hidden: the width of the residual stream.
        vocabulary: the width of the logits.
    """

    renderer: Renderer
    parameters: int
    weights: int
    itemsize: int
    layers: int
    hidden: int
    vocabulary: int


def outline(
    name_or_path: str | Path, *, dtype: str | torch.dtype = "auto", quantise: Bits | None = None
) -> Outline:
    """Read a model's config and tokenizer.

    Args:
        name_or_path: a hub name or a checkpoint folder.
        dtype: what it will be loaded in; ``auto`` is the checkpoint's own.
        quantise: what it will be packed to, if it is not packed already.

    Raises:
        ModelError: they cannot be read, or it is no chat model.
        ConfigError: no such dtype.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    name = str(name_or_path)
    check_folder(name_or_path)
    options = {"revision": "main", "trust_remote_code": False}
    try:
        config = AutoConfig.from_pretrained(name, **options)
        tokenizer = load_tokenizer(name, options)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
    except Exception as error:  # a damaged folder reaches into transformers, which raises what it likes
        raise ModelError(f"{name}: its config or tokenizer cannot be read: {one_line(error)}") from error
    own = config.dtype if isinstance(config.dtype, torch.dtype) else torch.bfloat16
    itemsize = (check_dtype(dtype) or own).itemsize
    parameters = model.num_parameters()
    kind = quantise or kind_of(config)
    packed = _in_layers(model) if kind in BYTES else 0
    return Outline(
        renderer=Renderer(tokenizer),
        parameters=parameters,
        weights=int((parameters - packed) * itemsize + packed * BYTES.get(kind or "", 0.0)),
        itemsize=itemsize,
        layers=len(decoder_layers(model)),
        hidden=int(config.get_text_config().hidden_size),
        vocabulary=int(config.get_text_config().vocab_size),
    )


def _in_layers(model: "PreTrainedModel") -> int:
    """Parameters of the layers' linear modules, which are what is packed."""
    return sum(
        module.weight.numel()
        for layer in decoder_layers(model)
        for module in layer.modules()
        if isinstance(module, nn.Linear)
    )
