"""The mean residual stream of a model on a probe set: whatever changes it, at the outputs of some layers."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from narrows.errors import ModelError
from narrows.geometry.monitoring.probe import Probe
from narrows.models import Split, decoder_layers, device_of
from narrows.models.hooks import reads_output

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True, eq=False)
class LayerStream:
    """What the residual stream at a layer's output is on a probe set.

    Attributes:
        mean: over all read tokens, (hidden,), fp64 on the CPU.
        norm: the mean norm over these tokens.
    """

    mean: Tensor
    norm: float


@torch.no_grad()
def mean_streams(model: "PreTrainedModel", probe: Probe, layers: Iterable[int]) -> dict[int, LayerStream]:
    """The streams at some layers, with whatever is attached to the model; layers above them are not run.

    The model is run in eval mode, and afterwards each module is in the mode in which it was; no random number
    is drawn that would not have been.

    Args:
        model: a causal language model of Hugging Face's, not a wrapper around one.
        probe: what it reads.
        layers: 0-indexed decoder layers.

    Raises:
        ModelError: a stream is not finite, or a layer was not run through its own forward.
    """
    chosen = sorted(set(layers))
    split = Split(model, chosen[-1] + 1)
    device = device_of(model.get_input_embeddings())
    sums = {layer: torch.zeros((), dtype=torch.float64) for layer in chosen}
    norms = dict.fromkeys(chosen, 0.0)
    with in_eval(model), _random_numbers_kept(device), _reading(model, chosen) as found:
        for batch in probe.batches():
            there = batch.to(device)
            found.clear()
            split.prefix(there.input_ids, there.attention_mask)
            for layer in chosen:
                if layer not in found:
                    raise ModelError(
                        f"layer {layer} ran without its hooks, as compiled layers do: compile the model "
                        "after the first look, or not at all."
                    )
                stream = found[layer][batch.response_mask.to(found[layer].device)].to("cpu", torch.float64)
                sums[layer] = sums[layer] + stream.sum(dim=0)
                norms[layer] += float(stream.norm(dim=-1).sum())
    streams = {
        layer: LayerStream(sums[layer] / probe.tokens, norms[layer] / probe.tokens) for layer in chosen
    }
    for layer, found_there in streams.items():
        if not torch.isfinite(found_there.mean).all():
            raise ModelError(
                f"the residual stream at layer {layer} is not finite on the probe set: the model has broken "
                "(or its dtype is too narrow)."
            )
    return streams


@contextmanager
def in_eval(model: nn.Module) -> Iterator[None]:
    """Eval mode inside the block; each module's own mode comes back after it."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        for module, _ in modes:
            module.training = False
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def _random_numbers_kept(device: torch.device) -> Iterator[None]:
    """Random states are what they were after the block: a family may draw numbers in eval mode too."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


@contextmanager
def _reading(model: "PreTrainedModel", layers: list[int]) -> Iterator[dict[int, Tensor]]:
    """The outputs of the last forward pass by layer; after all that changes them was done to them."""
    found: dict[int, Tensor] = {}

    every = decoder_layers(model)
    with ExitStack() as stack:
        for layer in layers:
            stack.callback(
                every[layer].register_forward_hook(reads_output(partial(found.__setitem__, layer))).remove
            )
        yield found
