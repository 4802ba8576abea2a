"""Files of conversations in which the answer may be missing: then they are prompts."""

from pathlib import Path

from narrows.chat import Conversation, read_conversations
from narrows.chat.readers import json_rows, lines_of
from narrows.chat.rows import conversation_of
from narrows.errors import DataError

_STAND_IN = "-"


def read_rows(path: Path | str) -> list[Conversation]:
    """Conversations from a file, whose last turn may be missing: then they are prompts.

    Args:
        path: as :func:`narrows.read_conversations` takes it. In JSONL a row may also end with the user's
            turn, or hold a ``prompt`` and nothing else.

    Raises:
        DataError: the file is missing, empty or malformed; names the row.
    """
    name = str(path)
    if not name.endswith((".jsonl", ".jsonl.gz")):
        return read_conversations(path)
    rows = [
        _conversation_or_prompt(value, f"{name}, line {number}", f"{Path(name).name}:{number}")
        for number, value in json_rows(name, lines_of(Path(name)))
    ]
    if not rows:
        raise DataError(f"{name} is empty: it has no rows.")
    return rows


def _conversation_or_prompt(value: object, place: str, source: str) -> Conversation:
    """A row with or without an answer; one without is checked with another in its place."""
    whole = value
    if isinstance(value, dict) and "completion" not in value:
        turns = value.get("messages")
        if "messages" not in value:
            whole = {**value, "completion": _STAND_IN}
        elif (
            isinstance(turns, list)
            and turns
            and isinstance(turns[-1], dict)
            and turns[-1].get("role") == "user"
        ):
            whole = {**value, "messages": [*turns, {"role": "assistant", "content": _STAND_IN}]}
    row = conversation_of(whole, place, source)
    return row if whole is value else Conversation(row.messages[:-1], row.source, row.tags)
