"""Losses of single positions in fp32, from hidden states; logits exist only for a chunk of them at a time."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional

from narrows.models.head import Head

_ChunkLoss = Callable[[Tensor, slice], Tensor]


def token_nll(head: Head, hidden: Tensor, targets: Tensor, chunk: int | None = None) -> Tensor:
    """Negative log-likelihood of each target, −log P(target | hidden).

    Args:
        head: the LM head.
        hidden: final hidden states of the selected positions, (n, hidden).
        targets: the tokens that follow them, (n,), int64.
        chunk: positions whose logits exist at once (default: as the head says).

    Returns:
        (n,), fp32, nats; differentiable once in ``hidden``; on the head's device, wherever the rest lies.
    """
    hidden, targets, head = hidden.to(head.device), targets.to(head.device), head.widened()

    def loss(piece: Tensor, at: slice) -> Tensor:
        return functional.cross_entropy(head.logits(piece), targets[at], reduction="none")

    return _by_chunk(loss, hidden, chunk or head.chunk)


def token_kl(
    head: Head, reference: Tensor, hidden: Tensor, chunk: int | None = None, *, of: Tensor | None = None
) -> Tensor:
    """KL(P_reference ‖ P_hidden) at each position (the paper's anchor: the chat model comes first).

    Args:
        head: the LM head of both.
        reference: the chat model's final hidden states, (n, hidden), or (m, hidden) with ``of``; gets no
            gradient.
        hidden: the adapted model's, (n, hidden).
        chunk: positions whose logits exist at once (default: as the head says).
        of: which of m references each position has, (n,), int64, in ascending order: positions of one
            reference lie side by side, and its logits are computed once for all of them in a chunk.

    Returns:
        (n,), fp32, nats; differentiable once in ``hidden``; on the head's device, wherever the rest lies.
    """
    hidden, reference, head = hidden.to(head.device), reference.to(head.device), head.widened()
    of = None if of is None else of.to(head.device)

    def shared(at: slice) -> Tensor:
        assert of is not None  # noqa: S101
        return reference[int(of[at.start]) : int(of[at.stop - 1]) + 1]

    def loss(piece: Tensor, at: slice) -> Tensor:
        with torch.no_grad():
            wanted = functional.log_softmax(head.logits(reference[at] if of is None else shared(at)), dim=-1)
            wanted = wanted if of is None else wanted[of[at] - of[at.start]]
        found = functional.log_softmax(head.logits(piece), dim=-1)
        return functional.kl_div(found, wanted, reduction="none", log_target=True).sum(dim=-1)

    return _by_chunk(loss, hidden, chunk or head.chunk)


def _by_chunk(loss: _ChunkLoss, hidden: Tensor, chunk: int) -> Tensor:
    """The loss of every row of ``hidden``, chunk by chunk."""
    if torch.is_grad_enabled() and hidden.requires_grad:
        result: Tensor = _RowLoss.apply(hidden, loss, chunk)  # type: ignore[no-untyped-call]
        return result
    with torch.no_grad():
        pieces = [loss(hidden[at], at) for at in _slices(len(hidden), chunk)]
    return torch.cat(pieces) if pieces else hidden.new_zeros(0, dtype=torch.float32)


def _slices(rows: int, chunk: int) -> list[slice]:
    return [slice(start, min(start + chunk, rows)) for start in range(0, rows, chunk)]


class _RowLoss(Function):
    """A loss that is separate for each row, with its gradient taken while the chunk's logits exist.

    Row i's loss depends on row i of ``hidden`` only, so its gradient is a (n, hidden) table that the
    incoming gradient merely scales row by row. Taking it in the forward pass costs neither a second pass
    through the head (as checkpointing would) nor the memory of the logits (as plain autograd would).
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, loss: _ChunkLoss, chunk: int) -> Tensor:  # noqa: ANN401
        """Compute the losses (n,) and keep their gradients (n, hidden)."""
        losses: list[Tensor] = []
        gradients: list[Tensor] = []
        for at in _slices(len(hidden), chunk):
            with torch.enable_grad():
                piece = hidden[at].detach().requires_grad_()
                value = loss(piece, at)
                gradients += torch.autograd.grad(value.sum(), piece)
            losses.append(value.detach())
        if not losses:
            ctx.save_for_backward(torch.zeros_like(hidden))
            return hidden.new_zeros(0, dtype=torch.float32)
        ctx.save_for_backward(torch.cat(gradients))
        return torch.cat(losses)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, incoming: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401
        """Scale the kept gradients by the incoming one (n,)."""
        (gradients,) = ctx.saved_tensors
        return (gradients * incoming.unsqueeze(1)).to(gradients.dtype), None, None
