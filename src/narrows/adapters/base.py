"""The interface that every adapter has, whatever its parameters are."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

import torch
from torch import Tensor

from narrows.models import ChatModel, Split

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@runtime_checkable
class Adapter(Protocol):
    """Trained parameters that change a frozen chat model while they are attached.

    Everything below ``depth`` is the chat model's own, so training and metrics run it once
    (:class:`narrows.models.Split`): ``enter`` changes the stream where it crosses the cut, and inside
    ``within`` the layers above it are changed.
    """

    metadata: dict[str, Any]

    @property
    def kind(self) -> str:
        """``steering`` or ``lora``."""
        ...

    @property
    def layer(self) -> int:
        """The (first) decoder layer that is changed, counted from 0."""
        ...

    @property
    def rank(self) -> int | None:
        """The rank of a LoRA; None for a steering vector."""
        ...

    @property
    def depth(self) -> int:
        """How many decoder layers lie below everything that is changed."""
        ...

    def enter(self, hidden: Tensor) -> Tensor:
        """What becomes of the residual stream entering layer ``depth``: (…, hidden) to (…, hidden)."""
        ...

    def within(self, split: Split) -> AbstractContextManager[None]:
        """Change the layers above the cut inside a ``with`` block; gradients are taken inside it too."""
        ...

    def attach(self, model: "PreTrainedModel | ChatModel") -> AbstractContextManager[None]:
        """Change the whole model inside a ``with`` block, and never longer."""
        ...

    def check(self, model: "PreTrainedModel") -> None:
        """Raise an AdapterError if the adapter does not fit the model."""
        ...

    def parameters(self) -> list[Tensor]:
        """The trainable tensors, fp32."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """The trainable tensors by name, in the order of ``parameters``."""
        ...

    def with_tensors(self, tensors: Mapping[str, Tensor]) -> Self:
        """The same kind of adapter at the same place with other numbers."""
        ...

    def coordinates(self) -> Tensor:
        """The adapter as one point, (n,), fp64 on the CPU: what a trajectory's components are taken of."""
        ...

    @property
    def norm(self) -> float:
        """The norm of what is stored (‖v‖, ‖B·A‖)."""
        ...

    @property
    def effective_norm(self) -> float:
        """The norm of what acts on the model (‖α·v‖, ‖s·B·A‖)."""
        ...

    def cosine(self, other: Self) -> float:
        """The cosine of the angle between what acts of both; 0 where one is zero."""
        ...

    def scaled(self, factor: float) -> Self:
        """The adapter with its action multiplied by ``factor``."""
        ...

    def scaled_to(self, effective_norm: float) -> Self:
        """The adapter scaled to an effective norm."""
        ...

    def perturbed(self, epsilon: float, generator: torch.Generator) -> Self:
        """The adapter with orthogonal noise of ratio ``epsilon`` (the paper's stability metric)."""
        ...

    def random_like(self, generator: torch.Generator, root: Tensor | None = None) -> Self:
        """A random control of the same norms; ``root``: a square root of the residual stream's covariance."""
        ...

    def copy(self) -> Self:
        """The same adapter in tensors of its own."""
        ...

    def to(self, device: torch.device | str) -> Self:
        """The same adapter on a device."""
        ...

    def placed(self, model: "PreTrainedModel") -> Self:
        """The same adapter, each tensor on the device of the part of the model that it changes."""
        ...

    def save(self, path: Path | str) -> Path:
        """Write the adapter; returns the file that :func:`narrows.adapters.load_adapter` takes."""
        ...
