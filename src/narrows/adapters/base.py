"""The interface that every adapter has, whatever its parameters are."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

import torch
from torch import Tensor

from narrows.models import ChatModel

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@runtime_checkable
class Adapter(Protocol):
    """Trained parameters that change a frozen chat model while they are attached.

    Everything below ``depth`` is the chat model's own, so training and metrics run it once
    (:class:`narrows.models.Split`).
    """

    @property
    def kind(self) -> str:
        """``steering`` or ``lora``."""
        ...

    @property
    def depth(self) -> int:
        """The first decoder layer whose input may be changed (if there is none: the final norm)."""
        ...

    def enter(self, hidden: Tensor) -> Tensor:
        """What becomes of the residual stream entering layer ``depth``: (…, hidden) to (…, hidden)."""
        ...

    def attach(self, model: "PreTrainedModel | ChatModel") -> AbstractContextManager[None]:
        """Change the model inside a ``with`` block, and never longer."""
        ...

    def parameters(self) -> list[Tensor]:
        """The trainable tensors, fp32."""
        ...

    @property
    def norm(self) -> float:
        """The norm of the stored parameters (‖v‖)."""
        ...

    @property
    def effective_norm(self) -> float:
        """The norm of what acts on the model (‖α·v‖)."""
        ...

    def scaled(self, factor: float) -> "Self":
        """The adapter with its action multiplied by ``factor``."""
        ...

    def scaled_to(self, effective_norm: float) -> "Self":
        """The adapter scaled to an effective norm."""
        ...

    def perturbed(self, epsilon: float, generator: torch.Generator) -> "Self":
        """The adapter with orthogonal noise of ratio ``epsilon`` (the paper's stability metric)."""
        ...

    def copy(self) -> "Self":
        """The same adapter in tensors of its own."""
        ...

    def save(self, path: Path | str) -> Path:
        """Write the adapter; returns the file that ``load`` takes."""
        ...
