"""The LM head as data: from final hidden states to logits in fp32, a chunk of positions at a time."""

import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from narrows.errors import ModelError
from narrows.models.devices import OFFLOADED
from narrows.models.exact_product import exact_product, is_exact

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_PLAIN = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
LOGITS_BYTES = {"cpu": 2**26, "cuda": 2**28}
"""Bytes of fp32 logits that exist at once, by kind of device; a loss and its gradient take four such tensors.

On a CPU smaller ones are no faster, and below 32 MiB they stay in the C library's heap, which they break up:
three times the memory in all. On a GPU they are slower: at 64 MiB an H100 took twice as long as at 256.
"""

MOST_POSITIONS = 1024
"""Positions whose logits exist at once at small vocabularies, where they then stay in a CPU's cache."""


def chunk_of(vocabulary: int, device: str) -> int:
    """How many positions' logits exist at once: at a vocabulary of 152,064, 110 on a CPU and 441 on a GPU."""
    size = LOGITS_BYTES.get(device, LOGITS_BYTES["cpu"])
    return max(1, min(MOST_POSITIONS, size // (4 * vocabulary)))


class Head:
    """A model's LM head: its weight, bias and whatever the family does to the logits after them.

    Attributes:
        weight: (vocabulary, hidden).
        bias: (vocabulary,), or None.
        softcap: the logits' final soft cap, or None.
        scale: a factor on the logits.
        dtype: what logits are computed in.

    Args:
        model: the whole model.
        dtype: what logits are computed in; None is fp32 (fp64 for an fp64 model), whatever the model's. KLs
            of logits in bf16 are noise below some 1e-3 nats at large vocabularies (paper §3, defect 7).

    Raises:
        ModelError: the model has no LM head, or one whose numbers cannot be read: quantised or offloaded.
    """

    def __init__(self, model: "PreTrainedModel", dtype: torch.dtype | None = None) -> None:
        layer = model.get_output_embeddings()
        if layer is None:
            raise ModelError(f"{type(model).__name__} has no LM head (no output embeddings).")
        config = model.config.get_text_config()
        self.weight: Tensor = _readable(layer)
        self.dtype = dtype or torch.promote_types(self.weight.dtype, torch.float32)
        self._exact = self.dtype == torch.float32 and is_exact(self.weight)
        self.bias: Tensor | None = getattr(layer, "bias", None)
        self.softcap: float | None = getattr(config, "final_logit_softcapping", None)
        # Cohere multiplies the logits, Granite divides them.
        self.scale: float = (getattr(config, "logit_scale", None) or 1.0) / (
            getattr(config, "logits_scaling", None) or 1.0
        )

    @property
    def device(self) -> torch.device:
        """Where the logits are computed."""
        return self.weight.device

    @property
    def chunk(self) -> int:
        """How many positions' logits a loss makes at once."""
        return chunk_of(len(self.weight), self.device.type)

    def widened(self) -> "Head":
        """The same head with its weight in ``dtype`` already, for several calls of :meth:`logits`.

        At a vocabulary of 152,064 and a width of 5,120 that copy is 3.1 GB: keep it no longer than a loss.
        Where products are exact without, none is made.
        """
        if self._exact or self.weight.dtype == self.dtype:
            return self
        wide = copy.copy(self)
        wide.weight = self.weight.to(self.dtype)
        return wide

    def logits(self, hidden: Tensor) -> Tensor:
        """The logits of final hidden states.

        Args:
            hidden: (…, hidden), after the final norm, on any device.

        Returns:
            (…, vocabulary), in the head's ``dtype``, on its device.
        """
        bias = None if self.bias is None else self.bias.to(self.dtype)
        if self._exact:
            logits = exact_product(hidden.to(self.device), self.weight)
            logits = logits if bias is None else logits + bias
        else:
            logits = functional.linear(hidden.to(self.device, self.dtype), self.weight.to(self.dtype), bias)
        if self.scale != 1.0:
            logits = logits * self.scale
        if self.softcap is not None:
            logits = torch.tanh(logits / self.softcap) * self.softcap
        return logits


def _readable(layer: nn.Module) -> Tensor:
    """The weight of an LM head, if it is a plain matrix of numbers.

    The losses multiply by it in fp32, chunk by chunk, and so need more of it than a module that is called.
    """
    weight = layer.weight
    assert isinstance(weight, Tensor)  # noqa: S101  (what transformers calls output embeddings has one)
    width = getattr(layer, "in_features", weight.shape[-1])
    if weight.device == OFFLOADED:
        raise ModelError(
            "the LM head is offloaded from the device, and the losses need its weight there: name a device "
            "for it (and for the embedding, if they are tied) in a device map, or quantise the layers."
        )
    if weight.dtype not in _PLAIN or weight.ndim != 2 or weight.shape[1] != width:
        raise ModelError(
            f"the LM head is quantised (its weight is {str(weight.dtype).removeprefix('torch.')} of shape "
            f"{tuple(weight.shape)}), and the losses need its numbers: quantise all but the head "
            "(llm_int8_skip_modules=['lm_head'] in bitsandbytes' config)."
        )
    return weight
