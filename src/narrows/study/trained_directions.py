"""Directions of adapters and of chance: what a fine-tune writes into the stream, and a random one."""

import torch

from narrows.adapters import Adapter, LoRA, SteeringVector
from narrows.adapters.direction import Direction
from narrows.errors import AdapterError
from narrows.models import ChatModel


def written_direction(chat_model: ChatModel, adapter: Adapter) -> Direction:
    """The direction that an adapter writes into the residual stream.

    A vector's own; of a LoRA on one module that writes to the stream (``down_proj``, ``o_proj``) the first
    left-singular direction of B·A, whose sign says nothing; at rank 1 it is B.

    Raises:
        AdapterError: it is a LoRA on several modules, or on one that does not write to the stream, or zero.
    """
    if isinstance(adapter, SteeringVector):
        return Direction.of_vector(adapter, "trained")
    if not isinstance(adapter, LoRA) or len(adapter.factors) != 1:
        raise AdapterError("an adapter of several modules writes several directions: take one module's.")
    (name, (a, b)), *_ = adapter.factors.items()
    if len(b) != chat_model.hidden:
        raise AdapterError(f"{name} does not write to the residual stream (its width is {len(b)}).")
    # B·A = B·Rᵀ·Qᵀ with Aᵀ = Q·R, so the small factor has its left-singular directions.
    small = torch.linalg.qr(a.double().T).R
    left = torch.linalg.svd(b.double() @ small.T, full_matrices=False).U[:, 0]
    return Direction.of(left, adapter.layer, "trained")


def random_direction(chat_model: ChatModel, layer: int, *, seed: int = 0) -> Direction:
    """A direction at a layer, drawn alike from all."""
    generator = torch.Generator().manual_seed(seed)
    return Direction.of(torch.randn(chat_model.hidden, generator=generator), layer, "random")
