"""What a hostile file is, and what can be wrong with any of them."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from narrows.errors import DataError, NarrowsError

Build = Callable[[Path], None]
"""Makes the hostile thing at a path."""


@dataclass(frozen=True)
class Case:
    """A hostile file.

    Attributes:
        kind: which commands read it: a key of ``COMMANDS`` in the tests.
        id: what is wrong.
        name: the file's name.
        build: makes it.
        said: what the error must say.
        error: its type.
        named: the file that must be named, if it is another one than ``name``.
    """

    kind: str
    id: str
    name: str
    build: Build
    said: str
    error: type[NarrowsError] = DataError
    named: str = ""


ROW = json.dumps(
    {"messages": [{"role": "user", "content": "why ?"}, {"role": "assistant", "content": "so ."}]}
)
ROWS = f"{ROW}\n" * 4
DEEP = "[" * 100_000
LONG_NUMBER = "7" * 5000
BOMB = b" " * (48 * 2**20)


def content(data: bytes | str) -> Build:
    """A file with this content."""
    return lambda path: path.write_bytes(data if isinstance(data, bytes) else data.encode()) and None


def folder(path: Path) -> None:
    """A folder where a file should be."""
    path.mkdir()


# What can be wrong with one line of JSON, whatever the line is for.
LINES = {
    "empty": ("", "is empty"),
    "no JSON": ("so\n" * 3, "line 1: is not JSON"),
    "nested beyond reason": (DEEP + "\n\n", "line 1: is not JSON (it is nested too deeply)"),
    "a number of 5000 digits": (f'{{"n": {LONG_NUMBER}}}\n', "line 1: is not JSON"),
    "an infinite number": ('{"n": 1e999}\n', "line 1: is not JSON (1e999 is beyond all numbers)"),
    "not a number": ('{"n": NaN}\n', "line 1: is not JSON (NaN is no number in JSON)"),
    "raw NUL bytes": ("\0\0\0\n", "line 1: is not JSON"),
    "a list": ("[1]\n", "where an object was expected"),
}


def lines_cases(kind: str, name: str, empty: str) -> Iterator[Case]:
    """What any JSONL reader must refuse."""
    for what, (text, said) in LINES.items():
        yield Case(kind, what, name, content(text), empty if what == "empty" else said)
    yield Case(kind, "not UTF-8", name, content(b"\xff\xfe{}\n"), "is not UTF-8 text")
    yield Case(kind, "a folder", name, folder, "cannot be read (Is a directory)")
    yield Case(kind, "nothing", name, lambda path: None, "does not exist")
