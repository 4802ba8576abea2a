"""The two losses from hidden states with their gradients: plain chunks beside TRL's and Liger's kernels."""

import torch
from benchmarks.speed.measuring import Phases, clocked
from torch import Tensor

from narrows.models import ChatModel, Head, token_kl, token_nll

POSITIONS = {"cpu": 256, "cuda": 1024}
NLL, KL = "NLL and its gradient", "KL and its gradient"


class _Kernel:
    """Both losses on the same random states; each side says how."""

    def __init__(self, chat_model: ChatModel) -> None:
        draw = torch.Generator().manual_seed(0)
        self._device, self.head = chat_model.device, Head(chat_model.model)
        count, dtype = POSITIONS[self._device.type], chat_model.model.dtype
        both = (torch.randn((count, chat_model.hidden), generator=draw) for _ in range(2))
        self.hidden, self.reference = (one.to(self._device, dtype) for one in both)
        self.targets = torch.randint(chat_model.vocabulary, (count,), generator=draw).to(self._device)
        self.found: dict[str, tuple[Tensor, Tensor]] = {}

    def __call__(self) -> Phases:
        """One after the other."""
        return {
            name: clocked(self._device, lambda name=name: self._with_gradient(name)) for name in (NLL, KL)
        }

    def _with_gradient(self, name: str) -> None:
        hidden = self.hidden.clone().requires_grad_()
        losses = self.nll(hidden) if name == NLL else self.kl(hidden)
        losses.sum().backward()
        self.found[name] = losses.detach(), hidden.grad

    def nll(self, hidden: Tensor) -> Tensor:
        """(n,)."""
        raise NotImplementedError

    def kl(self, hidden: Tensor) -> Tensor:
        """(n,)."""
        raise NotImplementedError


class Chunks(_Kernel):
    """Ours."""

    def nll(self, hidden: Tensor) -> Tensor:
        """(n,)."""
        return token_nll(self.head, hidden, self.targets)

    def kl(self, hidden: Tensor) -> Tensor:
        """(n,)."""
        return token_kl(self.head, self.reference, hidden)


class Fused(_Kernel):
    """TRL's: Triton on a GPU, tiles of plain torch elsewhere; the logits are made again for the gradient."""

    def nll(self, hidden: Tensor) -> Tensor:
        """(n,)."""
        from trl.kernels.chunked_divergence import VOCAB_CHUNK_SIZE
        from trl.kernels.chunked_logprob import ChunkedLogProbFunction

        found = ChunkedLogProbFunction.apply(
            hidden, self.head.weight, None, self.targets, 1.0, VOCAB_CHUNK_SIZE, None, 1.0, ()
        )
        return -found[0]

    def kl(self, hidden: Tensor) -> Tensor:
        """(n,)."""
        from trl.kernels.chunked_divergence import ChunkedDivergenceFunction

        weight = self.head.weight
        return ChunkedDivergenceFunction.apply(hidden, weight, None, self.reference, weight, None, 0.0)[0]


class Liger(_Kernel):
    """Liger's, in Triton: their gradient is taken in the forward pass too, for a mean only."""

    def nll(self, hidden: Tensor) -> Tensor:
        """(1,)."""
        from liger_kernel.transformers import LigerFusedLinearCrossEntropyLoss

        found: Tensor = LigerFusedLinearCrossEntropyLoss()(self.head.weight, hidden, self.targets)
        return found[None]

    def kl(self, hidden: Tensor) -> Tensor:
        """(1,)."""
        from liger_kernel.transformers import LigerFusedLinearJSD

        weight, kl_of_the_first = self.head.weight, 0.0
        lossy = LigerFusedLinearJSD(jsd_beta=kl_of_the_first)
        found: Tensor = lossy(hidden, weight, self.reference, weight, None)
        return found[None]
