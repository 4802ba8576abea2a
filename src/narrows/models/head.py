"""The LM head as data: from final hidden states to logits in fp32."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from narrows.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Head:
    """A model's LM head: its weight, bias and whatever the family does to the logits after them.

    Args:
        model: the whole model.

    Raises:
        ModelError: the model has no LM head.
    """

    def __init__(self, model: "PreTrainedModel") -> None:
        layer = model.get_output_embeddings()
        if layer is None:
            raise ModelError(f"{type(model).__name__} has no LM head (no output embeddings).")
        config = model.config.get_text_config()
        self.weight: Tensor = layer.weight
        self.bias: Tensor | None = getattr(layer, "bias", None)
        self.softcap: float | None = getattr(config, "final_logit_softcapping", None)
        # Cohere multiplies the logits, Granite divides them.
        self.scale: float = (getattr(config, "logit_scale", None) or 1.0) / (
            getattr(config, "logits_scaling", None) or 1.0
        )

    def logits(self, hidden: Tensor) -> Tensor:
        """The logits of final hidden states, computed in fp32 whatever the model's dtype.

        Args:
            hidden: (…, hidden), after the final norm.

        Returns:
            (…, vocabulary), fp32 (fp64 for an fp64 model).
        """
        wide = torch.promote_types(self.weight.dtype, torch.float32)
        bias = None if self.bias is None else self.bias.to(wide)
        logits = functional.linear(hidden.to(wide), self.weight.to(wide), bias)
        if self.scale != 1.0:
            logits = logits * self.scale
        if self.softcap is not None:
            logits = torch.tanh(logits / self.softcap) * self.softcap
        return logits
