"""The two passes of an anchor batch in a Hugging Face model: the chat model's, and the tuned model's."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from narrows.chat import Batch
from narrows.errors import ConfigError
from narrows.models import Head, token_kl
from narrows.training.trainer.peft import check_adapters, check_head, is_peft

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CHECKED = 16
"""Tokens of the row on which the head is tried."""


class AnchorPasses:
    """KL(P_chat ‖ P_tuned) of anchor batches, in fp32 and without whole logits (paper §3).

    Neither pass has dropout: the KL is that of the two models themselves, and zero as long as nothing has
    been learnt.

    Args:
        model: what is trained. If it is a PEFT model, it is the chat model too, with its adapter disabled.
        reference_model: the chat model, frozen here and set to eval mode; needed where ``model`` cannot be
            it.

    Attributes:
        model: what is trained.

    Raises:
        ConfigError: the chat model cannot be had from ``model``, or the reference does not fit it; says why
            and what to do.
        ModelError: a model has no LM head.
    """

    def __init__(self, model: nn.Module, reference_model: "PreTrainedModel | None" = None) -> None:
        self.model = model
        self._reference = reference_model
        self._tried = False
        check_head(model, causal_lm(model))
        if reference_model is not None:
            _check_reference(model, reference_model)
            reference_model.eval().requires_grad_(False)
        elif is_peft(model):
            check_adapters(model)
        else:
            raise ConfigError(
                "the anchor needs the chat model, and the model to be trained is no PEFT model whose adapter "
                "could be disabled: give reference_model (the chat model, loaded once more), or train an "
                "adapter: peft.get_peft_model(model, LoraConfig(…))."
            )

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """No dropout inside the block, where the backward pass belongs too; each module's mode comes back.

        Layers that are recomputed in the backward pass ask for training mode before they do so: with gradient
        checkpointing on, they get it, but not the modules in them.
        """
        modes = [(module, module.training) for module in self.model.modules()]
        try:
            for module, _ in modes:
                module.training = bool(getattr(module, "gradient_checkpointing", False))
            yield
        finally:
            for module, mode in modes:
                module.training = mode

    def kl(
        self,
        batch: Batch,
        positions: Tensor,
        autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> Tensor:
        """The KL at each read position; to be called within :meth:`quiet`.

        Args:
            batch: anchor rows on the model's device.
            positions: (rows, tokens − 1), True where the next token's distribution is read; n of them.
            autocast: the mixed precision of the two passes; the KL itself never has it.

        Returns:
            (n,), fp32, nats; differentiable in the model.
        """
        tuned_model = causal_lm(self.model)
        if self._reference is None:
            with torch.no_grad(), autocast(), adapter_off(self.model):
                chat = final_states(tuned_model, batch)[positions]
        else:
            with torch.no_grad(), autocast():
                chat = final_states(self._reference, batch)[positions]
        with autocast():
            tuned = final_states(tuned_model, batch)[positions]
        head = Head(tuned_model)
        chat, tuned = chat.to(head.weight.device), tuned.to(head.weight.device)
        with torch.autocast(tuned.device.type, enabled=False):
            if self._reference is None:
                return token_kl(head, chat, tuned)
            return two_head_kl(Head(causal_lm(self._reference)), chat, head, tuned)

    @torch.no_grad()
    def try_head(self, batch: Batch) -> None:
        """Once: see on a row's first tokens that the head, applied by hand, gives the models' own logits.

        Raises:
            ConfigError: it does not: the family does something to its logits that is not known here.
        """
        if self._tried:
            return
        size = min(CHECKED, int(batch.attention_mask[0].sum()))
        tokens, mask = batch.input_ids[:1, :size], batch.attention_mask[:1, :size]
        short = Batch(tokens, mask, batch.response_mask[:1, :size])
        off = adapter_off(self.model) if self._reference is None else nullcontext()
        models = [self.model] if self._reference is None else [self.model, self._reference]
        with self.quiet(), off:
            for model in map(causal_lm, models):
                wanted = model(input_ids=tokens, attention_mask=mask, use_cache=False).logits[:, :-1]
                head = Head(model)
                found = head.logits(final_states(model, short).to(head.weight.device))
                gap = float((found - wanted.to(found.device)).abs().max())
                rounding = max(16 * torch.finfo(wanted.dtype).eps, 1e-5)
                if not gap <= rounding * max(1.0, float(wanted.abs().max())):
                    raise ConfigError(
                        f"the LM head of {type(model).__name__}, applied by itself, does not give the "
                        f"model's logits (they differ by {gap:.3g}): its family changes them in a way that "
                        "narrows does not know, so the anchor's KL would be wrong. Please report the family."
                    )
        self._tried = True


def two_head_kl(
    reference_head: Head, reference: Tensor, head: Head, hidden: Tensor, chunk: int | None = None
) -> Tensor:
    """KL(P_reference ‖ P_hidden) at each position, each with its own LM head, which may be trained too.

    Args:
        reference_head: the chat model's head.
        reference: its final hidden states, (n, hidden of its own); gets no gradient.
        head: the tuned model's head; gets a gradient if its weight asks for one.
        hidden: the tuned model's final hidden states, (n, hidden).
        chunk: positions whose logits exist at once (default: as the head says).

    Returns:
        (n,), fp32, nats.
    """

    def loss(piece: Tensor, wanted_states: Tensor) -> Tensor:
        with torch.no_grad():
            logits = reference_head.logits(wanted_states.to(reference_head.weight.device))
            wanted = functional.log_softmax(logits, dim=-1).to(piece.device)
        found = functional.log_softmax(head.logits(piece), dim=-1)
        return functional.kl_div(found, wanted, reduction="none", log_target=True).sum(dim=-1)

    chunk = chunk or head.chunk
    # Checkpointed, for the gradient in the head's weight too needs the logits again in the backward pass.
    pieces = [
        checkpoint(loss, hidden[at : at + chunk], reference[at : at + chunk], use_reentrant=False)
        for at in range(0, len(hidden), chunk)
    ]
    return torch.cat(pieces) if pieces else hidden.new_zeros(0, dtype=torch.float32)


def causal_lm(model: nn.Module) -> Any:  # noqa: ANN401
    """The Hugging Face model inside a PEFT model, or the model itself."""
    return model.get_base_model() if is_peft(model) else model  # type: ignore[operator]


def final_states(model: nn.Module, batch: Batch) -> Tensor:
    """The final hidden states after the last norm, of all tokens but the last: (rows, tokens − 1, hidden)."""
    inner = causal_lm(model)
    backbone = inner.base_model
    out = backbone(input_ids=batch.input_ids, attention_mask=batch.attention_mask, use_cache=False)
    states: Tensor = out.last_hidden_state
    return states[:, :-1]


@contextmanager
def adapter_off(model: nn.Module) -> Iterator[None]:
    """PEFT's ``disable_adapter``, after which each parameter asks for a gradient exactly if it did before.

    PEFT lets all of an active adapter ask for it, which would thaw what its user had frozen.
    """
    asked = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        with model.disable_adapter():  # type: ignore[operator]
            yield
    finally:
        for parameter, wanted in asked:
            parameter.requires_grad_(wanted)


def _check_reference(model: nn.Module, reference: "PreTrainedModel") -> None:
    """Refuse a reference that would be trained along, or that speaks another vocabulary."""
    trained = {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
    if any(id(parameter) in trained for parameter in reference.parameters()):
        raise ConfigError(
            "reference_model shares trained weights with the model, so it would not stay the chat model: "
            "load it once more with from_pretrained."
        )
    width, own = (len(Head(causal_lm(one)).weight) for one in (reference, model))
    if width != own:
        raise ConfigError(
            f"reference_model's vocabulary has {width} tokens and the model's {own}: give the chat model "
            "that training starts from."
        )
