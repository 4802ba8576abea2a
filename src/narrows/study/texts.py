"""Ordinary texts as the studies read them."""

from collections.abc import Sequence

from narrows.chat import Rendered
from narrows.errors import DataError
from narrows.models import ChatModel


def rendered_texts(chat_model: ChatModel, texts: Sequence[str], tokens: int, study: str) -> list[Rendered]:
    """At least two texts as tokens, each cut to ``tokens``; ``study`` says in an error what needs them.

    Raises:
        DataError: there are fewer than two, or one without tokens.
    """
    if len(texts) < 2:
        raise DataError(f"{study} needs at least two ordinary texts, and {len(texts)} was given.")
    return [
        chat_model.renderer.text(text, tokens, source=f"text {number}")
        for number, text in enumerate(texts, start=1)
    ]
