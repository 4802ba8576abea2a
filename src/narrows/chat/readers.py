"""Files of conversations: strict readers that name the file, the line, what is wrong and a right row."""

import gzip
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from narrows.chat import sources
from narrows.chat.conversation import Conversation
from narrows.chat.lines import UNPACKING_ERRORS, bounded_lines
from narrows.chat.rows import EXAMPLE, conversation_of, wrong
from narrows.errors import DataError
from narrows.files import atomic_path, write_jsonl
from narrows.strict import one_line, parse_json


def read_conversations(source: Path | str) -> list[Conversation]:
    """Read chats, one a row: ``messages``, or ``prompt`` and ``completion``.

    A row may also hold ``tags``, an object of texts; other fields are ignored, and so are blank lines. Each
    conversation's ``source`` is ``file name:row``, rows counted from 1.

    Args:
        source: a ``.jsonl`` or ``.jsonl.gz`` file; a ``.parquet`` file; ``hub:owner/name`` (and, after
            another colon, the split) on the Hugging Face hub; or a zip made by ``easy-dataset-share``, with
            ``::member`` after it where it holds several files.

    Raises:
        DataError: it is missing, empty, unreadable or a row is malformed; names the file, the row, what is
            wrong and a right row.
    """
    name, unit, rows = _rows(str(source))
    conversations = [
        conversation_of(value, f"{name}, {unit} {row}", f"{Path(name).name}:{row}") for row, value in rows
    ]
    if not conversations:
        raise DataError(f"{name} is empty: it has no rows. A right row: {EXAMPLE}")
    return conversations


def _rows(source: str) -> tuple[str, str, Iterator[tuple[int, Any]]]:
    """The name of a source, the unit its rows are counted in, and the rows with their numbers from 1."""
    if source.startswith(sources.HUB):
        return source, "row", enumerate(sources.hub_rows(source), start=1)
    file, _, member = source.partition("::")
    if file.endswith(sources.ARCHIVES):
        name, lines = sources.archive_lines(Path(file), member)
        return name, "line", json_rows(name, lines)
    path = Path(source)
    if path.suffix == ".parquet":
        return source, "row", enumerate(sources.parquet_rows(path), start=1)
    return source, "line", json_rows(source, lines_of(path))


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


def json_rows(name: str, lines: Iterable[bytes], example: str = EXAMPLE) -> Iterator[tuple[int, Any]]:
    """The JSON values of a JSONL file with the numbers of their lines, blank lines left out.

    Raises:
        DataError: a line is not UTF-8 or not JSON; names the line and shows ``example``, a right row.
    """
    for row, line in enumerate(lines, start=1):
        if line.isspace():
            continue
        try:
            text = line.decode("utf-8-sig" if row == 1 else "utf-8").strip()
        except UnicodeDecodeError as error:
            raise wrong(
                f"{name}, line {row}",
                f"is not UTF-8 text (byte {error.start} of the line); save it as UTF-8",
                example,
            ) from error
        if not text:
            continue
        try:
            value = parse_json(text)
        except ValueError as error:
            raise wrong(f"{name}, line {row}", f"is not JSON ({one_line(error)})", example) from error
        yield row, value


def lines_of(path: Path) -> Iterator[bytes]:
    """The lines of a file, split at newlines only and decompressed where the name ends in ``.gz``.

    Raises:
        DataError: the file is missing, unreadable, no whole gzip file, or unpacks beyond reason.
    """
    try:
        with path.open("rb") as raw:
            if path.suffix == ".gz":
                yield from _unpacked(raw, path)
            else:
                yield from bounded_lines(raw, str(path))
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}).") from error


def _unpacked(raw: BinaryIO, path: Path) -> Iterator[bytes]:
    """The lines of a gzip file."""
    try:
        with gzip.open(raw) as handle:
            yield from bounded_lines(cast(BinaryIO, handle), str(path), path.stat().st_size)
    except UNPACKING_ERRORS as error:
        raise DataError(f"{path} is not a whole gzip file ({one_line(error)}); copy it again.") from error
