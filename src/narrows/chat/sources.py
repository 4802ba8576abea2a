"""Rows that lie in no plain JSONL file: parquet, the Hugging Face hub, and the field's protected zips."""

import io
import os
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from narrows.errors import DataError

HUB = "hub:"
ARCHIVES = (".zip", ".zip.enc")
PASSWORD = "NARROWS_DATA_PASSWORD"  # noqa: S105  (the variable's name)
"""The environment variable with the password of protected zips; it is never stored or shown."""

LARGEST_MEMBER = 2 * 2**30
"""Bytes that a file in an archive may unpack to: more is taken for an attack."""


def parquet_rows(path: Path) -> Iterable[Any]:
    """The rows of a parquet file.

    Raises:
        DataError: the file is missing or damaged, or ``datasets`` is not installed.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist.")
    datasets = _datasets(str(path))
    try:
        with tempfile.TemporaryDirectory() as cache:
            found = datasets.load_dataset(
                "parquet", data_files=str(path), split="train", cache_dir=cache, keep_in_memory=True
            )
            return [dict(row) for row in found]
    except Exception as error:
        raise DataError(f"{path} cannot be read as parquet: {_first_line(error)}") from error


def hub_rows(source: str) -> Iterator[Any]:
    """The rows of a dataset on the hub, ``hub:owner/name`` or ``hub:owner/name:split`` (default: train).

    Raises:
        DataError: there is no such dataset or split, the hub cannot be reached, or ``datasets`` is not
            installed.
    """
    name, _, split = source.removeprefix(HUB).partition(":")
    return stream(source, name, None, split or "train")


def stream(source: str, name: str, configuration: str | None, split: str) -> Iterator[Any]:
    """The rows of a dataset on the hub, fetched as they are asked for.

    Args:
        source: what the user gave, for errors.
        name: ``owner/name``.
        configuration: the dataset's configuration, or None.
        split: the split.

    Raises:
        DataError: as :func:`hub_rows`.
    """
    datasets = _datasets(source)
    try:
        yield from datasets.load_dataset(name, name=configuration, split=split, streaming=True)
    except Exception as error:
        raise DataError(
            f"{source} cannot be read from the hub: {_first_line(error)}. Without a network, give a local "
            "file instead (.jsonl or .jsonl.gz; rows also .parquet, texts also .txt)."
        ) from error


def archive_lines(path: Path, member: str = "") -> tuple[str, list[bytes]]:
    """The lines of a JSONL file in a zip; nothing is ever unpacked to disk.

    Args:
        path: a zip, or one that ``easy-dataset-share`` encrypted (``.zip.enc``); its password is read from
            the environment variable :data:`PASSWORD`.
        member: which file, where there are several.

    Returns:
        The name for errors, and the lines.

    Raises:
        DataError: the zip is missing, damaged or hostile (a path that leaves it, a size beyond reason), the
            password is missing or wrong, or there is no such file in it.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist.")
    data = _decrypted(path) if path.name.endswith(".enc") else path.read_bytes()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            chosen = _member(archive, path, member)
            with archive.open(chosen) as file:
                content = file.read(LARGEST_MEMBER + 1)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{path} is not a whole zip ({error}); copy it again.") from error
    if len(content) > LARGEST_MEMBER:
        raise _too_large(path, chosen.filename)
    return f"{path}::{chosen.filename}", list(io.BytesIO(content))


def _member(archive: zipfile.ZipFile, path: Path, wanted: str) -> zipfile.ZipInfo:
    """The file to read; every name in the archive is checked first."""
    files = [info for info in archive.infolist() if not info.is_dir()]
    for info in files:
        place = PurePosixPath(info.filename.replace("\\", "/"))
        if place.is_absolute() or ".." in place.parts or ":" in info.filename:
            raise DataError(
                f"{path} holds {info.filename!r}, a path that leaves the archive: it is hostile or damaged, "
                "and nothing of it was read."
            )
        if info.file_size > LARGEST_MEMBER:
            raise _too_large(path, info.filename)
    tables = {info.filename: info for info in files if info.filename.endswith(".jsonl")}
    if wanted:
        chosen = [info for name, info in tables.items() if name == wanted or name.endswith(f"/{wanted}")]
    else:
        chosen = list(tables.values())
    if len(chosen) != 1:
        names = ", ".join(tables) or "none"
        raise DataError(
            f"{path}: {'several files' if len(chosen) > 1 else 'no file'} "
            f"{'match' if len(chosen) > 1 else 'matches'} {wanted or '*.jsonl'!r}; its JSONL files: {names}. "
            f"Name one as {path}::FILE."
        )
    return chosen[0]


def _decrypted(path: Path) -> bytes:
    """The zip inside an encrypted file."""
    password = os.environ.get(PASSWORD)
    if not password:
        raise DataError(
            f"{path} is protected: set the environment variable {PASSWORD} to its password. (It keeps the "
            "rows out of scrapers' reach; do not publish them unprotected.)"
        )
    try:
        from easy_dataset_share.zipping import decrypt_file
    except ImportError as error:
        raise DataError(
            f"{path} was protected by easy-dataset-share, which is not installed: "
            "pip install 'narrows[protected]'."
        ) from error
    with tempfile.TemporaryDirectory() as folder:
        inside = Path(folder) / "data.zip.enc"
        inside.write_bytes(path.read_bytes())
        try:
            decrypt_file(str(inside), password)
        except ValueError as error:
            raise DataError(
                f"{path} cannot be decrypted: the password in {PASSWORD} is wrong, or the file is damaged."
            ) from error
        return (inside.parent / "data.zip.enc.dec").read_bytes()


def _too_large(path: Path, name: str) -> DataError:
    return DataError(
        f"{path}: {name} unpacks to more than {LARGEST_MEMBER // 2**30} GiB; a file of rows never does, so "
        "nothing of it was read."
    )


def _datasets(source: str) -> Any:  # noqa: ANN401
    try:
        import datasets
    except ImportError as error:
        raise DataError(f"{source} needs the package datasets: pip install 'narrows[data]'.") from error
    datasets.disable_progress_bars()
    return datasets


def _first_line(error: Exception) -> str:
    return (str(error).strip() or repr(error)).splitlines()[0]
