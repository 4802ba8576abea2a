"""The LM head as data: from final hidden states to logits in fp32, a chunk of positions at a time."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from narrows.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LOGITS_BYTES = 2**27
"""Bytes of fp32 logits that exist at once; a loss and its gradient take about four such tensors."""


def chunk_of(vocabulary: int) -> int:
    """How many positions' logits fit into :data:`LOGITS_BYTES`: 220 at a vocabulary of 152,064."""
    return max(1, LOGITS_BYTES // (4 * vocabulary))


class Head:
    """A model's LM head: its weight, bias and whatever the family does to the logits after them.

    Args:
        model: the whole model.
        dtype: what logits are computed in; None is fp32 (fp64 for an fp64 model), whatever the model's. KLs
            of logits in bf16 are noise below some 1e-3 nats at large vocabularies (paper §3, defect 7).

    Raises:
        ModelError: the model has no LM head.
    """

    def __init__(self, model: "PreTrainedModel", dtype: torch.dtype | None = None) -> None:
        layer = model.get_output_embeddings()
        if layer is None:
            raise ModelError(f"{type(model).__name__} has no LM head (no output embeddings).")
        config = model.config.get_text_config()
        self.weight: Tensor = layer.weight
        self.dtype = dtype or torch.promote_types(layer.weight.dtype, torch.float32)
        self.bias: Tensor | None = getattr(layer, "bias", None)
        self.softcap: float | None = getattr(config, "final_logit_softcapping", None)
        # Cohere multiplies the logits, Granite divides them.
        self.scale: float = (getattr(config, "logit_scale", None) or 1.0) / (
            getattr(config, "logits_scaling", None) or 1.0
        )

    @property
    def chunk(self) -> int:
        """How many positions' logits a loss makes at once."""
        return chunk_of(len(self.weight))

    def logits(self, hidden: Tensor) -> Tensor:
        """The logits of final hidden states.

        Args:
            hidden: (…, hidden), after the final norm.

        Returns:
            (…, vocabulary), in the head's ``dtype``.
        """
        bias = None if self.bias is None else self.bias.to(self.dtype)
        logits = functional.linear(hidden.to(self.dtype), self.weight.to(self.dtype), bias)
        if self.scale != 1.0:
            logits = logits * self.scale
        if self.softcap is not None:
            logits = torch.tanh(logits / self.softcap) * self.softcap
        return logits
