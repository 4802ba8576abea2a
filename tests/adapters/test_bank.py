"""Adapters in a bank do to their own rows what each does alone, and get the gradient of these rows only."""

from collections.abc import Callable

import pytest
import torch

from narrows.adapters import Adapter, LoRA, SteeringVector, bank_of
from narrows.chat import Batch, Conversation, Renderer, collate
from narrows.errors import AdapterError
from narrows.models import ChatModel, Split


@pytest.fixture
def batch(renderer: Renderer, conversations: list[Conversation], chat_model: ChatModel) -> Batch:
    return collate([renderer.render(row) for row in conversations], chat_model.pad_id)


def vectors(chat_model: ChatModel, module: str = "") -> list[Adapter]:
    draw = torch.Generator().manual_seed(0)
    return [
        SteeringVector(torch.randn(chat_model.hidden, generator=draw), 1, alpha, module=module)
        for alpha in (0.5, 2.0, -1.0)
    ]


def in_the_layer(chat_model: ChatModel) -> list[Adapter]:
    return vectors(chat_model, "mlp.down_proj")


def loras(chat_model: ChatModel) -> list[Adapter]:
    made = []
    for seed, (rank, alpha) in enumerate([(3, 1.0), (1, 4.0), (2, 2.0)]):
        one = LoRA.fresh(
            chat_model, rank=rank, targets=("down_proj", "q_proj"), layers=(1, 3), alpha=alpha, seed=seed
        )
        draw = torch.Generator().manual_seed(seed)
        made.append(
            one.with_tensors(
                {
                    name: 0.1 * torch.randn(tensor.shape, generator=draw)
                    for name, tensor in one.tensors().items()
                }
            )
        )
    return made


@pytest.mark.parametrize("make", [vectors, in_the_layer, loras])
@pytest.mark.parametrize("shares", [(1, 3, 1), (2, 2, 1), (1, 1, 1), (4, 0, 1)])
def test_together_is_alone(
    chat_model: ChatModel,
    batch: Batch,
    make: Callable[[ChatModel], list[Adapter]],
    shares: tuple[int, ...],
):
    adapters = make(chat_model)
    for one in adapters:
        for parameter in one.parameters():
            parameter.requires_grad_()
    count = sum(shares)
    ids, mask = batch.input_ids[:count], batch.attention_mask[:count]
    split = Split(chat_model.model, adapters[0].depth)
    hidden = split.prefix(ids, mask)
    weights = torch.randn(chat_model.hidden, generator=torch.Generator().manual_seed(9))
    bank = bank_of(adapters, shares)
    with bank.within(split):
        together = split.suffix(bank.enter(hidden), mask, mask.bool())
        (together @ weights).square().sum().backward()
    found = [[p.grad for p in one.parameters()] for one in adapters]
    start, alone = 0, []
    for one, share in zip(adapters, shares, strict=True):
        for parameter in one.parameters():
            parameter.grad = None
        rows = slice(start, start + share)
        start += share
        if not share:
            continue
        with one.within(split):
            states = split.suffix(one.enter(hidden[rows]), mask[rows], mask[rows].bool())
            (states @ weights).square().sum().backward()
        alone.append(states)
    assert torch.allclose(together, torch.cat(alone), atol=1e-5)
    for one, gradients in zip(adapters, found, strict=True):
        for parameter, gradient in zip(one.parameters(), gradients, strict=True):
            assert gradient is not None
            if parameter.grad is None:
                assert not gradient.any()
            else:
                assert torch.allclose(
                    gradient, parameter.grad, rtol=1e-3, atol=1e-4 * float(gradient.abs().max())
                )


def test_adapters_of_two_kinds_or_places_are_refused(chat_model: ChatModel):
    with pytest.raises(AdapterError, match="kinds cannot share a pass: lora, steering"):
        bank_of([*vectors(chat_model), *loras(chat_model)], [1] * 6)
    with pytest.raises(AdapterError, match="different layers"):
        bank_of([SteeringVector.zeros(chat_model, 1), SteeringVector.zeros(chat_model, 2)], [1, 1])
    with pytest.raises(AdapterError, match="different modules"):
        bank_of([LoRA.fresh(chat_model, layers=(1,)), LoRA.fresh(chat_model, layers=(2,))], [1, 1])
