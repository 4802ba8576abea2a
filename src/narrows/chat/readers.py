"""Files of conversations: strict readers that name the file, the line, what is wrong and a right row."""

import gzip
import io
import json
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast, get_args

from narrows.chat.conversation import Conversation, Message, Role
from narrows.errors import DataError
from narrows.files import atomic_path, write_jsonl

ROLES: tuple[str, ...] = get_args(Role)
EXAMPLE = '{"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}'


def read_conversations(path: Path | str) -> list[Conversation]:
    """Read a JSONL file of chats (``.jsonl``, or ``.jsonl.gz``), one ``messages`` object a line.

    A row may also hold ``tags``, an object of texts; other fields are ignored, and so are blank lines. Each
    conversation's ``source`` is ``file name:line``, lines counted from 1.

    Args:
        path: the file.

    Raises:
        DataError: the file is missing, empty, not UTF-8 or a row is malformed; names the file, the line, what
            is wrong and a right row.
    """
    path = Path(path)
    conversations = [_conversation(value, path, row) for row, value in _json_rows(path)]
    if not conversations:
        raise DataError(f"{path} is empty: it has no rows. A right row: {EXAMPLE}")
    return conversations


def write_conversations(path: Path | str, rows: Iterable[Conversation]) -> None:
    """Write conversations so that :func:`read_conversations` reads them back; ``.gz`` names are compressed.

    Raises:
        RunFolderError: the file cannot be written.
    """
    path = Path(path)
    values = [row.to_json() for row in rows]
    if path.suffix != ".gz":
        write_jsonl(path, values)
        return
    text = "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values)
    with atomic_path(path) as temporary:
        # mtime 0 and no file name: the same rows always make the same bytes, hence the same data hash.
        temporary.write_bytes(gzip.compress(text.encode(), mtime=0))


def _json_rows(path: Path) -> Iterator[tuple[int, Any]]:
    """Line numbers and JSON values of a JSONL file, blank lines left out."""
    for row, line in enumerate(_lines(path), start=1):
        try:
            text = line.decode("utf-8-sig" if row == 1 else "utf-8").strip()
        except UnicodeDecodeError as error:
            raise _wrong(
                path, row, f"is not UTF-8 text (byte {error.start} of the line); save it as UTF-8"
            ) from error
        if not text:
            continue
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise _wrong(path, row, f"is not JSON ({error})") from error
        yield row, value


def _lines(path: Path) -> Iterator[bytes]:
    """The lines of a file, split at newlines only and decompressed where the name ends in ``.gz``."""
    try:
        with path.open("rb") as raw, gzip.open(raw) if path.suffix == ".gz" else raw as handle:
            yield from cast(io.BufferedIOBase, handle)
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist.") from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is not a whole gzip file ({error}); copy it again.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}).") from error


def _conversation(value: object, path: Path, row: int) -> Conversation:
    """Check one ``messages`` row."""
    if not isinstance(value, dict):
        raise _wrong(path, row, f"is {_kind(value)} where an object was expected")
    if "messages" not in value:
        raise _wrong(path, row, 'has no "messages"')
    turns = value["messages"]
    if not isinstance(turns, list) or not turns:
        raise _wrong(path, row, f'has {_kind(turns)} as "messages" where a list of turns was expected')
    messages = tuple(_message(turn, path, row, place) for place, turn in enumerate(turns, start=1))
    roles = [message.role for message in messages]
    if "system" in roles[1:]:
        raise _wrong(
            path, row, f"has its system message at place {roles.index('system', 1) + 1}; it must come first"
        )
    if "user" not in roles:
        raise _wrong(path, row, "has no user message")
    if roles[-1] != "assistant":
        raise _wrong(path, row, f"ends with a {roles[-1]} message; the last must be the assistant's answer")
    return Conversation(messages, f"{path.name}:{row}", _tags(value.get("tags"), path, row))


def _message(turn: object, path: Path, row: int, place: int) -> Message:
    """Check one turn of a row."""
    if not isinstance(turn, dict):
        raise _wrong(path, row, f"message {place}: is {_kind(turn)} where an object was expected")
    for name in ("role", "content"):
        if name not in turn:
            raise _wrong(path, row, f'message {place}: has no "{name}"')
    role, content = turn["role"], turn["content"]
    if role not in ROLES:
        raise _wrong(path, row, f"message {place}: unknown role {role!r}; known are {', '.join(ROLES)}")
    if not isinstance(content, str):
        raise _wrong(path, row, f'message {place}: "content" is {_kind(content)} where text was expected')
    if not content.strip():
        raise _wrong(path, row, f'message {place}: "content" is empty')
    if any("\ud800" <= character <= "\udfff" for character in content):
        raise _wrong(path, row, f'message {place}: "content" holds half a character (a lone surrogate)')
    return Message(role, content)


def _tags(tags: object, path: Path, row: int) -> dict[str, str]:
    """Check the optional tags of a row."""
    if tags is None:
        return {}
    if not isinstance(tags, dict) or not all(isinstance(tag, str) for tag in tags.values()):
        raise _wrong(path, row, 'has "tags" that are not an object of texts')
    return tags


def _wrong(path: Path, row: int, problem: str) -> DataError:
    """The error for a malformed row."""
    return DataError(f"{path}, line {row}: {problem}. A right row: {EXAMPLE}")


def _kind(value: object) -> str:
    """A JSON value's kind in words."""
    if value is None:
        return "null"
    if value == []:
        return "an empty list"
    names: dict[type, str] = {dict: "an object", list: "a list", str: "text", bool: "true or false"}
    return names.get(type(value), "a number")
