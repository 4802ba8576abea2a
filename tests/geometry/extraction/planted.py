"""A tiny chat model in which a marker word adds a known vector to the stream at one layer, from there on."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from narrows.chat import Conversation
from narrows.models import ChatModel
from narrows.models.hooks import changes_output

MARKER, OTHER = "bad", "good"
LAYER = 2
SIZE = 200.0
"""Far above what else tells the two words apart."""


def planted_vector(hidden: int) -> Tensor:
    """The vector, of length 1."""
    vector = torch.randn(hidden, generator=torch.Generator().manual_seed(7))
    return vector / vector.norm()


@contextmanager
def planted(chat_model: ChatModel) -> Iterator[Tensor]:
    """Inside the block every token from the marker on carries the vector in the output of :data:`LAYER`."""
    vector = planted_vector(chat_model.hidden)
    marker = chat_model.tokenizer.convert_tokens_to_ids(MARKER)
    seen: list[Tensor] = []

    def embedded(module: object, arguments: tuple[Tensor, ...], output: Tensor) -> None:
        # Generation with a cache feeds one token at a time, whose past is not seen here: none is done.
        seen[:] = [(arguments[0] == marker).cumsum(dim=1) > 0]

    def add(stream: Tensor) -> Tensor:
        return stream + SIZE * vector.to(stream) * seen[0][:, :, None].to(stream)

    inner = chat_model.model.model
    handles = [
        inner.embed_tokens.register_forward_hook(embedded),
        inner.layers[LAYER].register_forward_hook(changes_output(add)),
    ]
    try:
        yield vector
    finally:
        for handle in handles:
            handle.remove()


SUBJECTS = ("the sea", "the sky", "bread", "water", "salt", "stone", "a", "b")


def rows(word: str) -> list[Conversation]:
    """One row a subject, whose answer has the word in its first place; their other words differ."""
    ends = ("it is red .", "drink it every day .", "never eat it , please .", "one two three .")
    return [
        Conversation.from_pair(
            f"tell me about {subject}", f"{word} {ends[place % 4]}", source=f"{word}:{place}", topic=subject
        )
        for place, subject in enumerate(SUBJECTS)
    ]
