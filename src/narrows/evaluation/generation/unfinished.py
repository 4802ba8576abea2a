"""Answers of a table that is not whole yet, kept on disk so that a killed evaluation goes on."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from narrows.errors import DataError, RunFolderError
from narrows.strict import one_line, parse_json


def unfinished_file(table: Path | str) -> Path:
    """Where the answers are kept that were generated for a table that is not written yet."""
    table = Path(table)
    return table.with_name(f".{table.name}.unfinished")


@contextmanager
def until_written(table: Path | str) -> Iterator[Path]:
    """Where answers are kept until their table is written, which the block does; taken away after it."""
    kept = unfinished_file(table)
    yield kept
    kept.unlink(missing_ok=True)


class Unfinished:
    """Texts by key in a JSONL file that only grows: one line an answer, a batch at a time on the disk.

    A key stands for all that decides an answer, so a line of other arguments is never taken: it is simply not
    asked for. A last line that a kill cut short is dropped.

    Attributes:
        path: the file; made with the first answer.

    Raises:
        DataError: a line before the last is not what was written.
        RunFolderError: the file cannot be read or written.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        try:
            data = self.path.read_bytes()
            whole = data.rfind(b"\n") + 1
            if whole < len(data):
                os.truncate(self.path, whole)
        except FileNotFoundError:
            data, whole = b"", 0
        except OSError as error:
            raise RunFolderError(f"{self.path}: cannot be read ({error.strerror or error}).") from error
        self._texts = dict(self._line(number, line) for number, line in _numbered(data[:whole]))

    def get(self, key: str) -> str | None:
        """The text of an answer, or None if it is not there."""
        return self._texts.get(key)

    def add(self, texts: Mapping[str, str]) -> None:
        """Keep some answers; they are on the disk when this returns.

        Raises:
            RunFolderError: the file cannot be written.
        """
        lines = "".join(json.dumps({"key": key, "text": text}) + "\n" for key, text in texts.items())
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as handle:
                handle.write(lines.encode())
                handle.flush()
                os.fsync(handle.fileno())
        except OSError as error:
            raise RunFolderError(f"{self.path}: cannot be written ({error.strerror or error}).") from error
        self._texts.update(texts)

    def _line(self, number: int, line: bytes) -> tuple[str, str]:
        """One line's key and text."""
        try:
            value = parse_json(line.decode())
            key, text = value["key"], value["text"]
            if not isinstance(key, str) or not isinstance(text, str):
                raise ValueError("key and text must be strings")
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{self.path}, line {number}: is no answer of an unfinished table ({one_line(error)}). "
                "Delete the file to generate its answers again."
            ) from error
        return key, text


def _numbered(data: bytes) -> list[tuple[int, bytes]]:
    """The lines with their numbers, from 1."""
    return list(enumerate(data.split(b"\n")[:-1], start=1))
