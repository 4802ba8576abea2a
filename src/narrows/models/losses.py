"""Losses of single positions in fp32, from hidden states; logits exist only for a chunk of them at a time."""

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional

from narrows.models.head import Head

_Found: TypeAlias = tuple[Tensor, Tensor | None]
"""Losses (n,), and their gradient with respect to the logits (n, vocabulary) where it is asked for."""

_ChunkLoss: TypeAlias = Callable[[Tensor, slice, bool], _Found]
"""The loss of logits, of the positions that a slice says, with a gradient or without."""


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

    def loss(logits: Tensor, at: slice, wants_gradient: bool) -> _Found:
        found = functional.log_softmax(logits, dim=-1)
        losses = -found.gather(1, targets[at, None]).squeeze(1)
        if not wants_gradient:
            return losses, None
        # P − 1 at the target, in the place of log P.
        gradient = found.exp_()
        gradient[torch.arange(len(losses), device=head.device), targets[at]] -= 1
        return losses, gradient

    return _by_chunk(head, loss, hidden, chunk or head.chunk)


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

    def loss(logits: Tensor, at: slice, wants_gradient: bool) -> _Found:
        wanted = functional.log_softmax(head.logits(reference[at] if of is None else shared(at)), dim=-1)
        wanted = wanted if of is None else wanted[of[at] - of[at.start]]
        found = functional.log_softmax(logits, dim=-1)
        likely = wanted.exp()
        losses = wanted.sub_(found).mul_(likely).sum(dim=-1)  # KL is small: no difference of two sums
        return losses, found.exp_().sub_(likely) if wants_gradient else None

    return _by_chunk(head, loss, hidden, chunk or head.chunk)


def _by_chunk(head: Head, loss: _ChunkLoss, hidden: Tensor, chunk: int) -> Tensor:
    """The loss of every row of ``hidden``, chunk by chunk."""
    if torch.is_grad_enabled() and hidden.requires_grad:
        result: Tensor = _RowLoss.apply(hidden, head, loss, chunk)  # type: ignore[no-untyped-call]
        return result
    with torch.no_grad():
        pieces = [loss(head.logits(hidden[at]), at, False)[0] for at in _slices(len(hidden), chunk)]
    return torch.cat(pieces) if pieces else hidden.new_zeros(0, dtype=torch.float32)


def _slices(rows: int, chunk: int) -> list[slice]:
    return [slice(start, min(start + chunk, rows)) for start in range(0, rows, chunk)]


class _RowLoss(Function):
    """A loss that is separate for each row, with its gradient taken while the chunk's logits exist.

    Row i's loss depends on row i of ``hidden`` only, so its gradient is a (n, hidden) table that the
    incoming gradient merely scales row by row. Taking it in the forward pass costs neither a second pass
    through the head (as checkpointing would) nor the memory of the logits (as plain autograd would). The
    gradient with respect to the logits is written in the place of what the loss no longer needs.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, head: Head, loss: _ChunkLoss, chunk: int) -> Tensor:  # noqa: ANN401
        """Compute the losses (n,) and keep their gradients (n, hidden)."""
        losses: list[Tensor] = []
        gradients: list[Tensor] = []
        for at in _slices(len(hidden), chunk):
            with torch.enable_grad():
                piece = hidden[at].detach().requires_grad_()
                logits = head.logits(piece)
            value, gradient = loss(logits.detach(), at, True)
            gradients += torch.autograd.grad(logits, piece, gradient)
            losses.append(value)
        if not losses:
            ctx.save_for_backward(torch.zeros_like(hidden))
            return hidden.new_zeros(0, dtype=torch.float32)
        ctx.save_for_backward(torch.cat(gradients))
        return torch.cat(losses)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, incoming: Tensor) -> tuple[Tensor, None, None, None]:  # noqa: ANN401
        """Scale the kept gradients by the incoming one (n,)."""
        (gradients,) = ctx.saved_tensors
        return (gradients * incoming.unsqueeze(1)).to(gradients.dtype), None, None, None
