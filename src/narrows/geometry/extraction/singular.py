"""The singular directions of a LoRA: what each module's change writes, and what it reads."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from narrows.adapters.direction import Direction
from narrows.adapters.low_rank import layer_of
from narrows.errors import AdapterError, ConfigError
from narrows.models import decoder_layers

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from narrows.adapters import LoRA

Role = Literal["writes", "reads"]

WRITERS = ("down_proj", "o_proj", "out_proj", "c_proj", "dense_4h_to_h", "attention.dense", "fc2", "w2")
"""Ends of the names of modules whose output is added to the residual stream."""

READERS = (
    "q_proj", "k_proj", "v_proj", "qkv_proj", "gate_proj", "up_proj", "gate_up_proj", "query_key_value",
    "dense_h_to_4h", "fc1", "w1", "w3",
)  # fmt: skip
"""Ends of the names of modules whose input is the residual stream, after the layer's norm."""


@dataclass(frozen=True, eq=False)
class SingularDirection:
    """One singular vector of s·B·A of a module.

    Attributes:
        module: the module, such as ``24.mlp.down_proj``.
        role: ``writes``: a left-singular vector, what the change puts out; ``reads``: a right-singular one,
            what it answers to.
        place: 0 for the largest singular value.
        value: the singular value.
        share: its square's share of the sum of squares.
        unit: (out,) or (in,), fp32, of length 1. The two vectors of a place have their signs together: their
            common sign is arbitrary, and here the largest coordinate of what is written is positive.
        space: where it lies, in words.
        in_stream: whether it is a direction of the residual stream.
    """

    module: str
    role: Role
    place: int
    value: float
    share: float
    unit: Tensor
    space: str
    in_stream: bool

    @property
    def direction(self) -> Direction:
        """It as a direction of the residual stream.

        What a module writes arrives in its own layer's output. What a module reads is last seen in the output
        of the layer before (of layer 0 where that is the embedding), before the norm in between.

        Raises:
            AdapterError: it lies in another space.
        """
        if not self.in_stream:
            raise AdapterError(
                f"{self.module} {self.role}: lies in {self.space}, not in the residual stream."
            )
        own = layer_of(self.module)
        layer = own if self.role == "writes" else max(own - 1, 0)
        facts = {
            "method": "singular",
            "module": self.module,
            "role": self.role,
            "place": self.place,
            "singular_value": self.value,
            "share": self.share,
            "space": self.space,
        }
        return Direction.of(self.unit, layer, f"{self.module}-{self.role}-{self.place}", facts)


def singular_directions(
    lora: "LoRA", count: int | None = None, model: "PreTrainedModel | None" = None
) -> list[SingularDirection]:
    """The top singular directions of each module's change, left and right, without forming the change.

    With B = Q·R and Aᵀ = P·T, s·B·A = Q·(s·R·Tᵀ)·Pᵀ, so the singular vectors come from a (rank, rank)
    matrix; fp64. Left-singular vectors are what a module writes: those of modules that write to the residual
    stream (``down_proj``, ``o_proj``) lie in it; of a rank-1 ``down_proj`` it is B. Right-singular vectors
    are what a module reads: those of modules that read the stream (``q``, ``k``, ``v``, ``gate``, ``up``) lie
    in it, as it is after the layer's norm.

    Args:
        lora: the adapter.
        count: of the largest singular values of each module; None gives all.
        model: the model that it is for; it is checked, and its norms are looked at.

    Returns:
        Module by module, the largest first, ``writes`` before ``reads``. Singular values that are zero are
        left out.

    Raises:
        ConfigError: ``count`` is below 1.
        AdapterError: the LoRA changes nothing, or does not fit the model.
    """
    if count is not None and count < 1:
        raise ConfigError(f"count is {count}; it must be at least 1.")
    if model is not None:
        lora.check(model)
    found: list[SingularDirection] = []
    for module, (a, b) in lora.factors.items():
        written, values, read = _svd(a, b, lora.scaling)
        total = float((values**2).sum())
        for place in range(len(values) if count is None else min(count, len(values))):
            if values[place] <= 1e-7 * values[0] or total == 0:
                break
            sign = 1 if written[written[:, place].abs().argmax(), place] > 0 else -1
            roles: tuple[tuple[Role, Tensor], ...] = (("writes", written), ("reads", read))
            for role, vectors in roles:
                space, in_stream = _space(module, role, model)
                found.append(
                    SingularDirection(
                        module=module,
                        role=role,
                        place=place,
                        value=float(values[place]),
                        share=float(values[place] ** 2) / total,
                        unit=(sign * vectors[:, place]).float(),
                        space=space,
                        in_stream=in_stream,
                    )
                )
    if not found:
        raise AdapterError("a LoRA that changes nothing has no singular directions.")
    return found


def _svd(a: Tensor, b: Tensor, scaling: float) -> tuple[Tensor, Tensor, Tensor]:
    """The singular value decomposition of ``scaling`` · B·A: (out, rank), (rank,), (in, rank), fp64."""
    a, b = (factor.detach().to("cpu", torch.float64) for factor in (a, b))
    out, upper = torch.linalg.qr(b)
    into, lower = torch.linalg.qr(a.T)
    left, values, right = torch.linalg.svd(scaling * upper @ lower.T, full_matrices=False)
    return out @ left, values, into @ right.T


def _space(module: str, role: Role, model: "PreTrainedModel | None") -> tuple[str, bool]:
    """Where a module's left- or right-singular vectors lie, in words, and whether it is the stream."""
    name = module.partition(".")[2]
    writer, reader = _ends(name, WRITERS), _ends(name, READERS)
    if role == "writes" and writer:
        if model is not None and hasattr(
            decoder_layers(model)[layer_of(module)], "post_feedforward_layernorm"
        ):
            return "the module's output, which a norm follows before the residual stream", False
        return "the residual stream", True
    if role == "reads" and reader:
        return "the residual stream after the layer's norm", True
    if not writer and not reader:
        return f"the {'output' if role == 'writes' else 'input'} of a module that is not known here", False
    inside = "the layer's MLP" if "mlp" in name or "dense_" in name else "the layer's attention"
    return f"the inside of {inside}", False


def _ends(name: str, ends: tuple[str, ...]) -> bool:
    return any(name == end or name.endswith(f".{end}") for end in ends)
