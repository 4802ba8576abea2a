"""What the tests of metrics share: vectors, and the whole model run with a hook as the reference."""

import copy

import numpy as np
import torch
from torch import Tensor

from narrows.adapters import SteeringVector
from narrows.chat import Rendered
from narrows.models import ChatModel

LAYER = 1
DEPTH = LAYER + 1
ALPHA = 16.0


def vectors(count: int, norm: float = 3.0, layer: int = LAYER) -> list[SteeringVector]:
    """Random vectors of an effective norm."""
    generator = torch.Generator().manual_seed(5)
    draws = [torch.randn(32, generator=generator) for _ in range(count)]
    return [SteeringVector(draw, layer, ALPHA).scaled_to(norm) for draw in draws]


def in_fp64(chat_model: ChatModel) -> ChatModel:
    """The same chat model in fp64."""
    model = copy.deepcopy(chat_model.model).double()
    return ChatModel.from_parts(model, chat_model.tokenizer, "fp64")


@torch.no_grad()
def log_probabilities(chat_model: ChatModel, row: Rendered, adapter: SteeringVector | None) -> Tensor:
    """log P of every next token, (tokens − 1, vocabulary), from the whole model with the hook attached."""
    ids = torch.tensor([row.input_ids])
    if adapter is None:
        return chat_model.model(input_ids=ids).logits[0, :-1].log_softmax(-1)
    with adapter.attach(chat_model):
        return chat_model.model(input_ids=ids).logits[0, :-1].log_softmax(-1)


def reference_nll(chat_model: ChatModel, row: Rendered, adapter: SteeringVector) -> np.ndarray:
    """−log P of each response token."""
    found = log_probabilities(chat_model, row, adapter)
    losses = -found[torch.arange(len(found)), row.input_ids[1:]]
    return losses[torch.tensor(row.response_mask[1:])].numpy()


def reference_kl(chat_model: ChatModel, row: Rendered, adapter: SteeringVector) -> np.ndarray:
    """KL(P_chat ‖ P_steered) at each token but the last."""
    chat, steered = (log_probabilities(chat_model, row, one) for one in (None, adapter))
    return (chat.exp() * (chat - steered)).sum(-1).numpy()
