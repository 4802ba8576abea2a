"""The self-check that steering does on a model what it should."""

import torch
from torch import Tensor

from narrows.adapters.steering import SteeringVector
from narrows.chat import Batch, Conversation, Rendered, collate
from narrows.errors import ModelError
from narrows.models import ChatModel, Head, Split, mean_residual_norm

_QUESTIONS = ("Hello", "What should I do today?", "Tell me something about the sea, please.")


@torch.no_grad()
def self_check(chat_model: ChatModel, layer: int) -> None:
    """Check that steering works at a layer, with a random vector a tenth as long as the residual stream.

    Steering must change every row of a padded batch; switching it off must restore the logits bit for bit;
    and the split path (prefix, vector, suffix, head) must give the hooked model's logits. Whoever loads a
    model to train or measure adapters calls this once (the top-level ``narrows.load_chat_model`` does); it
    costs a few short forward passes.

    Args:
        chat_model: the model.
        layer: 0-indexed decoder layer.

    Raises:
        AdapterError: ``layer`` is out of range.
        ModelError: a check failed; says which.
    """
    prompts = [
        chat_model.renderer.prompt(Conversation.from_pair(question).messages) for question in _QUESTIONS
    ]
    rows = [Rendered(prompt, [False] * len(prompt)) for prompt in prompts]
    batch = collate(rows, chat_model.pad_id).to(chat_model.device)
    vector = _random_vector(chat_model, layer, 0.1 * mean_residual_norm(chat_model, layer, rows))
    before = _logits(chat_model, batch)
    real = batch.attention_mask.to(before.device).bool()
    with vector.attach(chat_model):
        steered = _logits(chat_model, batch)
    after = _logits(chat_model, batch)

    where = f"{chat_model.name}, layer {layer}: "
    changed = [bool((steered[row] != before[row])[real[row]].any()) for row in range(batch.rows)]
    if not all(changed):
        unmoved = [row for row, moved in enumerate(changed) if not moved]
        raise ModelError(f"{where}steering left rows {unmoved} of a batch of {batch.rows} as they were.")
    if not torch.equal(before[real], after[real]):
        raise ModelError(f"{where}after steering was switched off the logits were not the same bit for bit.")

    split = Split(chat_model.model, vector.depth)
    entering = vector.enter(split.prefix(batch.input_ids, batch.attention_mask))
    apart = Head(chat_model.model).logits(split.suffix(entering, batch.attention_mask, real))
    gap = float((apart - steered[real].to(apart)).abs().max())
    size = float(steered[real].abs().max())
    # The head computes in fp32 what the model rounds to its dtype a few times.
    allowed = max(4 * torch.finfo(steered.dtype).eps, 1e-5) * size
    if not gap <= allowed:
        raise ModelError(
            f"{where}the model run in two parts gives other logits than the hooked model (largest "
            f"difference {gap:.3g}, allowed {allowed:.3g}): this architecture cannot be cut at a layer."
        )


def _random_vector(chat_model: ChatModel, layer: int, length: float) -> SteeringVector:
    generator = torch.Generator().manual_seed(0)
    direction = torch.randn(chat_model.hidden, generator=generator)
    return SteeringVector(direction, layer, alpha=1.0).scaled_to(length)


def _logits(chat_model: ChatModel, batch: Batch) -> Tensor:
    out = chat_model.model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, use_cache=False)
    logits: Tensor = out.logits
    return logits
