"""Directions: unit vectors in the residual stream at a layer, however they were found."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from narrows.adapters.loading import load_adapter
from narrows.adapters.steering import SteeringVector
from narrows.errors import AdapterError
from narrows.files import digest
from narrows.models import check_layer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FOUND = "direction"
"""Where a stored vector's metadata say that it is a direction, and how it was found."""


@dataclass(frozen=True, eq=False)
class Direction:
    """A unit vector in the residual stream at the output of a decoder layer.

    Trained, a mean difference, a principal component, a persona or random: whatever made it, it can be
    compared, steered with, ablated and watched. On disk it is a steering vector with α = 1, so every command
    that takes an adapter takes a direction too.

    Attributes:
        unit: (hidden,), fp32, on the CPU, of length 1.
        layer: 0-indexed decoder layer.
        name: what it is called in tables.
        length: of the vector that it was found as (‖mean difference‖, ‖α·v‖): the norm that steering with it
            has if none is given.
        found: how it was found; anything JSON can hold.

    Raises:
        AdapterError: ``unit`` is not one-dimensional or not of length 1.
    """

    unit: Tensor
    layer: int
    name: str = "direction"
    length: float = 1.0
    found: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unit = self.unit.detach().to("cpu", torch.float32)
        if unit.ndim != 1 or not abs(float(unit.norm()) - 1) < 1e-4:
            raise AdapterError(
                f"{self.name}: a direction is one row of length 1; this has shape {tuple(unit.shape)} and "
                f"norm {float(unit.norm()):.4g}. Direction.of() makes one of any vector."
            )
        object.__setattr__(self, "unit", unit)

    @classmethod
    def of(
        cls, vector: Tensor, layer: int, name: str = "direction", found: Mapping[str, Any] | None = None
    ) -> "Direction":
        """The direction of any vector, (hidden,); its norm is kept as ``length``.

        Raises:
            AdapterError: the vector is zero or not finite.
        """
        whole = vector.detach().to("cpu", torch.float64)
        length = float(whole.norm())
        if not 0 < length < float("inf"):
            raise AdapterError(f"{name} at layer {layer}: a vector of norm {length:.4g} has no direction.")
        return cls((whole / length).float(), layer, name, length, found or {})

    @classmethod
    def of_vector(cls, vector: SteeringVector, name: str = "direction") -> "Direction":
        """The direction in which a steering vector pushes.

        Raises:
            AdapterError: the vector is zero, or its metadata do not say how it was found as ours do.
        """
        kept = vector.metadata.get(FOUND) or {}
        trained = {"method": "trained"} if "recipe" in vector.metadata else {}
        found = kept.get("found", trained) if isinstance(kept, Mapping) else None
        if not isinstance(found, Mapping):
            raise AdapterError(
                f"{name}: its metadata's {FOUND!r} is not what narrows writes (an object with name and "
                "found): mend the JSON, or remove the entry."
            )
        return cls.of(vector.effective, vector.layer, str(kept.get("name", name)), found)

    def steering(self, norm: float | None = None) -> SteeringVector:
        """A steering vector along it, of an effective norm (default: its own length), with α = 1."""
        about = {FOUND: {"name": self.name, "found": dict(self.found)}}
        return SteeringVector(self.unit * (self.length if norm is None else norm), self.layer, 1.0, about)

    def at(self, layer: int) -> "Direction":
        """The same vector at another layer; the residual stream keeps its coordinates from layer to layer."""
        return replace(self, layer=layer)

    def renamed(self, name: str) -> "Direction":
        """The same direction by another name."""
        return replace(self, name=name)

    def __neg__(self) -> "Direction":
        return replace(self, unit=-self.unit)

    def cosine(self, other: "Direction") -> float:
        """The cosine with another direction, whatever its layer.

        Raises:
            AdapterError: they have different widths.
        """
        if len(self.unit) != len(other.unit):
            raise AdapterError(
                f"{self.name} has width {len(self.unit)} and {other.name} {len(other.unit)}: they belong to "
                "different models."
            )
        return float(self.unit.double() @ other.unit.double())

    def check(self, model: "PreTrainedModel") -> None:
        """See that it fits a model.

        Raises:
            AdapterError: the model has no such layer, or another width.
        """
        check_layer(model, self.layer)
        hidden = int(model.config.get_text_config().hidden_size)
        if len(self.unit) != hidden:
            raise AdapterError(
                f"{self.name} has width {len(self.unit)} and the model's residual stream {hidden}: it was "
                "found in another model."
            )

    @property
    def identity(self) -> str:
        """A digest of the vector and its layer: what tells it from others, whatever they are called."""
        return digest([self.layer, self.unit.tolist()])

    def save(self, path: Path | str) -> Path:
        """Write it as a steering vector, ``path`` (``.safetensors``) with its JSON beside it.

        Raises:
            AdapterError: the name does not end in ``.safetensors``.
            RunFolderError: the files cannot be written.
        """
        return self.steering().save(path)

    @classmethod
    def load(cls, path: Path | str, name: str | None = None) -> "Direction":
        """The direction in whatever holds a steering vector: our file, a run's folder, a published vector.

        Args:
            path: as :func:`narrows.adapters.load_adapter` takes it.
            name: what it is called (default: what the file says, else the file's name).

        Raises:
            AdapterError: there is none, it is damaged, zero, or a LoRA.
        """
        adapter = load_adapter(path)
        if not isinstance(adapter, SteeringVector):
            raise AdapterError(
                f"{path} is a LoRA, which has many directions: take its singular directions "
                "(`narrows direction singular`)."
            )
        given = Path(path)
        try:
            direction = cls.of_vector(adapter, given.stem if given.suffix else given.name)
        except AdapterError as error:
            raise AdapterError(f"{path}: {error}") from error
        return direction if name is None else direction.renamed(name)
