"""The lines of a file, plain or unpacked, within limits that rows and texts never reach."""

import struct
import zlib
from collections.abc import Iterator
from lzma import LZMAError
from typing import BinaryIO
from zipfile import BadZipFile

from narrows.errors import DataError

LARGEST = 2 * 2**30
"""Bytes that a packed file may unpack to."""

LONGEST_LINE = 64 * 2**20
"""Bytes of a line."""

_CHUNK = 2**20

RATIO, SMALL = 200, 4 * 2**20
"""A packed file that is larger than ``SMALL`` bytes may be at most ``RATIO`` times the size of what it is
packed in: text is packed to a fifth, and what is packed to a thousandth was made to fill a memory."""

UNPACKING_ERRORS = (
    *(zlib.error, LZMAError, BadZipFile, struct.error),
    *(EOFError, OSError, ValueError, IndexError, NotImplementedError, RuntimeError),
)
"""What Python's unpackers raise when they are given a damaged file."""


def bounded_lines(handle: BinaryIO, name: str, packed: int | None = None) -> Iterator[bytes]:
    """The lines of an open file, split at newlines only.

    Args:
        handle: the file, read as it is asked for.
        name: of the file, for errors.
        packed: the bytes that it is packed in; None for one that is not packed.

    Raises:
        DataError: a line, or all that is unpacked, is larger than it may be.
    """
    read = number = 0
    rest = b""
    while chunk := handle.read(_CHUNK):
        read += len(chunk)
        if packed is not None:
            check_size(name, read, packed)
        *lines, rest = (rest + chunk).split(b"\n")
        number += len(lines)
        for line in lines:
            yield line + b"\n"
        if len(rest) > LONGEST_LINE:
            raise DataError(
                f"{name}, line {number + 1}: is longer than {LONGEST_LINE // 2**20} MiB; no row is, so the "
                "file is no JSONL, or is damaged."
            )
    if rest:
        yield rest


def check_size(name: str, unpacked: int, packed: int) -> None:
    """Refuse what unpacks beyond reason.

    Raises:
        DataError: it is larger than it may be; names it.
    """
    if unpacked > LARGEST or unpacked > max(SMALL, RATIO * packed):
        limit = f"{LARGEST // 2**30} GiB" if unpacked > LARGEST else f"{RATIO} times its size"
        raise DataError(
            f"{name} unpacks to more than {limit}: a file of rows never does, so it was read no further. If "
            "you trust it, unpack it and give the file itself."
        )
