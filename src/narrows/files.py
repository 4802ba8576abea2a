"""Files that a kill, a full disk or a second process cannot spoil: atomic writes, hashes, run folders."""

import contextlib
import errno
import hashlib
import json
import math
import os
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from narrows.errors import DataError, RunFolderError
from narrows.strict import parse_json, read_object

RUN_FILE = "run.json"
LARGEST_TEXT = 2 * 2**30
"""Bytes of a text file that is read whole."""
_ABSENT = object()


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it reaches the disk and takes the name in one step.

    Raises:
        RunFolderError: the disk is full or the folder cannot be written; the earlier file stays as it was.
    """
    path = Path(path)
    # Not the process id: processes on two machines, or in two containers, may share it and the folder.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb+") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RunFolderError(
                f"{path}: the disk is full; nothing finished was lost. Free some space and run the same "
                "command again: it continues where it stopped."
            ) from error
        raise RunFolderError(f"{path}: cannot be written ({error.strerror or error}).") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` atomically, as UTF-8."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: object) -> None:
    """Write ``value`` as indented JSON, atomically; NaN and infinity are refused."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_jsonl(path: Path, rows: Iterator[dict[str, Any]] | list[dict[str, Any]]) -> None:
    """Write one JSON object a line, atomically."""
    write_text(path, "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows))


def read_json(path: Path) -> Any:  # noqa: ANN401  (JSON may hold anything)
    """Read a JSON file written by :func:`write_json`.

    Raises:
        ValueError: it is not what :func:`write_json` writes.
        OSError: it cannot be read.
    """
    return parse_json(Path(path).read_text(encoding="utf-8"))


def read_user_text(path: Path) -> str:
    """A text file that a user gave.

    Raises:
        DataError: it is missing, too large, is not UTF-8, or cannot be read; names the file.
    """
    try:
        with path.open("rb") as handle:
            data = handle.read(LARGEST_TEXT + 1)
        if len(data) > LARGEST_TEXT:
            raise DataError(f"{path} is larger than {LARGEST_TEXT // 2**30} GiB: cut it into several files.")
        return data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}).") from error


def digest(value: object) -> str:
    """A 16-digit hash of anything JSON can hold (or of bytes): equal values have equal digests."""
    data = value if isinstance(value, bytes) else json.dumps(value, sort_keys=True, default=str).encode()
    return hashlib.sha256(data).hexdigest()[:16]


def file_digest(path: Path) -> str:
    """A 16-digit hash of a file's bytes."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()[:16]


def claim_run_folder(folder: Path, identity: dict[str, Any]) -> Path:
    """Make ``folder`` the home of the run that ``identity`` determines, or continue that run.

    Of several processes that claim a folder at once one wins; the others go on only if theirs is the same
    run.

    Args:
        folder: where the run lives; made if missing.
        identity: whatever determines the run (effective config, data hashes, model); kept in ``run.json``.

    Raises:
        RunFolderError: the folder holds another run, or files that are no run of ours; or it is a file, or
            cannot be written; or a setting is no finite number.
    """
    folder = Path(folder)
    marker = folder / RUN_FILE
    identity = json.loads(json.dumps(identity, default=str))  # as it will be read back
    if (wrong := _not_finite(identity)) is not None:
        raise RunFolderError(f"{wrong}: a setting must be a finite number.")
    if folder.exists() and not folder.is_dir():
        raise RunFolderError(f"{folder} is a file and no folder. Choose another --out.")
    # Looked at before the marker: whoever claims the folder writes the marker first.
    try:
        occupied = folder.exists() and any(not entry.name.startswith(".") for entry in folder.iterdir())
    except OSError as error:
        raise RunFolderError(f"{folder} cannot be read ({error.strerror or error}).") from error
    if not marker.exists():
        if occupied:
            raise RunFolderError(
                f"{folder} is not empty and holds no {RUN_FILE}: it is not a run of narrows. Choose another "
                "--out."
            )
        _create_json(marker, identity)
    found = read_object(marker, RunFolderError, "Choose another --out.")
    if digest(found) != digest(identity):
        changed = sorted(_different_fields(found, identity))
        raise RunFolderError(
            f"{folder} holds another run: {', '.join(changed[:6])} differ{'s' if len(changed) == 1 else ''}. "
            "Choose another --out, or delete the folder to start afresh."
        )
    return folder


def _not_finite(value: object, place: str = "") -> str | None:
    """The first number that JSON cannot hold, with its place."""
    if isinstance(value, float):
        return None if math.isfinite(value) else f"{place.lstrip('.')} is {value}"
    inside: Iterable[tuple[object, object]] = ()
    if isinstance(value, dict):
        inside = value.items()
    elif isinstance(value, list):
        inside = enumerate(value)
    found = (_not_finite(one, f"{place}.{name}") for name, one in inside)
    return next((one for one in found if one is not None), None)


def _create_json(path: Path, value: object) -> None:
    """Write ``value`` as JSON unless the file is there by now, which a rename would not notice."""
    mine = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.new")
    write_json(mine, value)
    try:
        path.hardlink_to(mine)
    except FileExistsError:
        pass  # another process was first
    except OSError:  # a file system without hard links
        mine.replace(path)
    finally:
        mine.unlink(missing_ok=True)


def _different_fields(left: object, right: object, prefix: str = "") -> Iterator[str]:
    """Dotted names of the fields in which two nested dictionaries differ."""
    if isinstance(left, dict) and isinstance(right, dict):
        for key in left.keys() | right.keys():
            name = f"{prefix}.{key}" if prefix else str(key)
            yield from _different_fields(left.get(key, _ABSENT), right.get(key, _ABSENT), name)
    elif digest(left) != digest(right):
        yield prefix or "the run"
