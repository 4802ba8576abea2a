"""The probe set: rows of tokens that stay the same, so that only weights change what is seen on them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from narrows.chat import Batch, Conversation, Rendered, collate, length_order
from narrows.errors import DataError
from narrows.files import digest
from narrows.models import ChatModel

BATCH = 16
"""Probe rows run at once."""


@dataclass(frozen=True)
class Probe:
    """Rows of tokens on which a monitor reads the residual stream.

    The first token of each row is run but not read: on large models it is an attention sink, whose norm is a
    hundred times that of the others, and it would be most of every mean.

    Attributes:
        rows: the tokens of each row, at least two a row.
        pad_id: the token to fill batches with; masked, so any will do.
        source: where the rows come from, for people.

    Raises:
        DataError: there are no rows, or one has fewer than two tokens.
    """

    rows: tuple[tuple[int, ...], ...]
    pad_id: int = 0
    source: str = ""

    def __post_init__(self) -> None:
        if not self.rows:
            raise DataError("a probe set needs at least one row, and none was given.")
        for number, row in enumerate(self.rows, start=1):
            if len(row) < 2:
                raise DataError(
                    f"row {number} of the probe set has {len(row)} token(s); a row's first is not read, so "
                    "it needs two."
                )

    @classmethod
    def of(
        cls,
        chat_model: ChatModel,
        items: Sequence[Conversation | str],
        max_length: int | None = 128,
        source: str = "",
    ) -> "Probe":
        """Render a probe set.

        Args:
            chat_model: whose tokenizer and chat template write it.
            items: conversations (one that ends with the user's turn is rendered up to where the assistant
                begins to speak; one with an answer, whole) or plain texts.
            max_length: tokens kept of a row.
            source: where they come from.

        Raises:
            DataError: there are none, or one cannot be rendered; names it.
        """
        rows = tuple(tuple(_tokens(chat_model, item, max_length)) for item in items)
        return cls(rows, chat_model.pad_id, source)

    @property
    def tokens(self) -> int:
        """How many tokens are read."""
        return sum(len(row) - 1 for row in self.rows)

    @cached_property
    def digest(self) -> str:
        """What tells it from other probe sets."""
        return digest([list(row) for row in self.rows])

    def batches(self) -> Iterator[Batch]:
        """The rows, those of like length together; the tokens to be read are the response's."""
        rows = [Rendered(list(row), [False] + [True] * (len(row) - 1)) for row in self.rows]
        order = length_order(rows)
        for at in range(0, len(order), BATCH):
            yield collate([rows[place] for place in order[at : at + BATCH]], self.pad_id)


def _tokens(chat_model: ChatModel, item: Conversation | str, max_length: int | None) -> list[int]:
    renderer = chat_model.renderer
    if isinstance(item, str):
        return renderer.text(item, max_length).input_ids
    if item.messages and item.messages[-1].role == "assistant":
        return renderer.render(item, max_length).input_ids
    return renderer.prompt(item.messages)[:max_length]
