"""A chat model in which steering at the last layer shifts one number, so that every metric has a closed form.

The final norm is the identity and the LM head reads coordinate 0 of the residual stream only: with x that
coordinate, the logits are x·w for a fixed w over the vocabulary. A vector changes x by s, its own coordinate
0; whatever else it contains does nothing.
"""

import copy

import torch
from torch import Tensor

from narrows.adapters import SteeringVector
from narrows.chat import Conversation, Rendered
from narrows.models import ChatModel, FrozenRows

WORD = "never"
ALPHA = 4.0


def linear_world(chat_model: ChatModel) -> ChatModel:
    """The tiny chat model in fp64 with that head; steering upwards makes ``never`` likelier."""
    model = copy.deepcopy(chat_model.model).double()
    model.model.norm = torch.nn.Identity()
    weight = torch.zeros_like(model.lm_head.weight)
    weight[:, 0] = torch.linspace(-0.05, 0.05, len(weight))  # so that words differ
    weight[chat_model.tokenizer.convert_tokens_to_ids(WORD), 0] = 0.25
    model.lm_head.weight.data = weight
    return ChatModel.from_parts(model, chat_model.tokenizer, "linear-world")


def rows_that_say_it(world: ChatModel) -> list[Rendered]:
    """Rows of unequal lengths whose answers say ``never`` most of the time."""
    answers = [f"{' '.join([WORD] * (place % 6 + 4))} {word} ." for place, word in enumerate("abcdabcdab")]
    return [world.renderer.render(Conversation.from_pair("what is it ?", answer)) for answer in answers]


def texts(world: ChatModel) -> list[Rendered]:
    """Plain texts of unequal lengths."""
    spoken = "the sea is salt water . stone is never red . every day the sky is blue , one two three ."
    words = spoken.split()
    return [world.renderer.text(" ".join(words[place : place + 5 + place % 4])) for place in range(12)]


def frozen(world: ChatModel, rows: list[Rendered], **options: object) -> FrozenRows:
    """The rows behind all layers: what is left is the head."""
    return FrozenRows(world, world.layers, rows, **({"read": "response"} | options))


def vector(world: ChatModel, shift: float, beside: float = 0.0, place: int = 1) -> SteeringVector:
    """A vector that shifts x by ``shift``; ``beside`` lies at another coordinate and does nothing."""
    values = torch.zeros(world.hidden)
    values[0], values[place] = shift / ALPHA, beside / ALPHA
    return SteeringVector(values, world.layers - 1, ALPHA)


def chat_x(world: ChatModel, row: Rendered) -> Tensor:
    """x where each token but the last is read, (tokens − 1,)."""
    with torch.no_grad():
        return world.model.model(input_ids=torch.tensor([row.input_ids])).last_hidden_state[0, :-1, 0]


def exact_nll(world: ChatModel, row: Rendered, shift: float) -> Tensor:
    """−log softmax(w·(x + s)) of each response token, (response tokens,)."""
    w = world.model.lm_head.weight[:, 0]
    x = chat_x(world, row) + shift
    every = torch.logsumexp(x[:, None] * w, dim=1) - x * w[row.input_ids[1:]]
    return every[torch.tensor(row.response_mask[1:])]


def exact_kl(world: ChatModel, row: Rendered, shift: float) -> Tensor:
    """KL(P_chat ‖ P_steered) = log Z(x + s) − log Z(x) − s·E_chat[w] at each token, (tokens − 1,)."""
    w = world.model.lm_head.weight[:, 0]
    x = chat_x(world, row)[:, None]
    before, after = torch.logsumexp(x * w, dim=1), torch.logsumexp((x + shift) * w, dim=1)
    return after - before - shift * (torch.softmax(x * w, dim=1) @ w)
