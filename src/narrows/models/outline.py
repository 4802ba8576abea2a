"""A model's shape from its config and tokenizer alone: no weights are read."""

from dataclasses import dataclass
from pathlib import Path

import torch

from narrows.chat import Renderer
from narrows.errors import ModelError
from narrows.models.chat_model import load_tokenizer
from narrows.models.layers import decoder_layers
from narrows.strict import one_line


@dataclass(frozen=True)
class Outline:
    """What a model is before its weights are loaded; ``itemsize`` is bytes of a number in its own dtype."""

    renderer: Renderer
    parameters: int
    itemsize: int
    layers: int
    hidden: int
    vocabulary: int


def outline(name_or_path: str | Path) -> Outline:
    """Read a model's config and tokenizer.

    Raises:
        ModelError: they cannot be read, or it is no chat model.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    name = str(name_or_path)
    options = {"revision": "main", "trust_remote_code": False}
    try:
        config = AutoConfig.from_pretrained(name, **options)
        tokenizer = load_tokenizer(name, options)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
    except Exception as error:  # a damaged folder reaches into transformers, which raises what it likes
        raise ModelError(f"{name}: its config or tokenizer cannot be read: {one_line(error)}") from error
    dtype = config.dtype if isinstance(config.dtype, torch.dtype) else torch.bfloat16
    return Outline(
        renderer=Renderer(tokenizer),
        parameters=model.num_parameters(),
        itemsize=dtype.itemsize,
        layers=len(decoder_layers(model)),
        hidden=int(config.get_text_config().hidden_size),
        vocabulary=int(config.get_text_config().vocab_size),
    )
