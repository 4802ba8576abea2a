"""Rows that lie in no plain JSONL file: parquet, the Hugging Face hub, and the field's protected zips."""

import io
import os
import stat
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from narrows.chat.lines import LARGEST, UNPACKING_ERRORS, bounded_lines, check_size
from narrows.errors import DataError
from narrows.strict import one_line

HUB = "hub:"
ARCHIVES = (".zip", ".zip.enc")
PASSWORD = "NARROWS_DATA_PASSWORD"  # noqa: S105  (the variable's name)
"""The environment variable with the password of protected zips; it is never stored or shown."""

_ENCRYPTED = 1
"""The flag of a zip's member that has a password of its own."""


def parquet_rows(path: Path) -> Iterable[Any]:
    """The rows of a parquet file.

    Raises:
        DataError: the file is missing or damaged, or ``datasets`` is not installed.
    """
    with _open(path) as handle:
        try:
            from pyarrow import parquet
        except ImportError as error:
            raise _missing(str(path)) from error
        try:
            rows: list[Any] = parquet.read_table(handle).to_pylist()
        except Exception as error:  # a damaged file can end in any error
            raise DataError(
                f"{path} cannot be read as parquet ({one_line(error)}); copy it again."
            ) from error
    return rows


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
            f"{source} cannot be read from the hub: {one_line(error)}. Without a network, give a local "
            "file instead (.jsonl or .jsonl.gz; rows also .parquet, texts also .txt)."
        ) from error


def archive_lines(path: Path, member: str = "") -> tuple[str, Iterator[bytes]]:
    """The lines of a JSONL file in a zip; nothing is ever unpacked to disk.

    Args:
        path: a zip, or one that ``easy-dataset-share`` encrypted (``.zip.enc``); its password is read from
            the environment variable :data:`PASSWORD`.
        member: which file, where there are several.

    Returns:
        The name for errors, and the lines.

    Raises:
        DataError: the zip is missing, damaged or hostile (a path that leaves it, a link, a size beyond
            reason), the password is missing or wrong, or there is no such file in it.
    """
    data = _decrypted(path) if path.name.endswith(".enc") else _open(path)
    try:
        archive = zipfile.ZipFile(data)
        chosen = _member(archive, path, member)
    except UNPACKING_ERRORS as error:
        data.close()
        raise _damaged(path, error) from error
    name = f"{path}::{chosen.filename}"
    return name, _lines_of_member(data, archive, chosen, path)


def _lines_of_member(
    data: BinaryIO, archive: zipfile.ZipFile, chosen: zipfile.ZipInfo, path: Path
) -> Iterator[bytes]:
    """The lines of one file of a zip."""
    packed = min(chosen.compress_size, data.seek(0, io.SEEK_END))
    try:
        with data, archive, archive.open(chosen) as handle:
            yield from bounded_lines(cast(BinaryIO, handle), f"{path}::{chosen.filename}", packed)
    except UNPACKING_ERRORS as error:
        raise _damaged(path, error) from error


def _open(path: Path) -> BinaryIO:
    """A file that a user gave, open for reading."""
    try:
        return path.open("rb")
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}).") from error


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
        if stat.S_ISLNK(info.external_attr >> 16):
            raise DataError(
                f"{path} holds {info.filename!r}, a symbolic link: it is hostile or damaged, and nothing of "
                "it was read."
            )
        check_size(f"{path}: {info.filename}", info.file_size, info.compress_size)
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
    if chosen[0].flag_bits & _ENCRYPTED:
        raise DataError(
            f"{path}: {chosen[0].filename} has a password of its own, which is not asked for here: unpack "
            "it, or protect it with easy-dataset-share."
        )
    return chosen[0]


def _decrypted(path: Path) -> BinaryIO:
    """The zip inside an encrypted file."""
    with _open(path) as handle:
        data = handle.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise DataError(f"{path} is larger than {LARGEST // 2**30} GiB: protect smaller files.")
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
        inside.write_bytes(data)
        try:
            decrypt_file(str(inside), password)
        except Exception as error:  # of a damaged file, whatever the libraries below it raise
            raise DataError(
                f"{path} cannot be decrypted: the password in {PASSWORD} is wrong, or the file is damaged."
            ) from error
        return io.BytesIO((inside.parent / "data.zip.enc.dec").read_bytes())


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} is not a whole zip ({one_line(error)}); copy it again.")


def _datasets(source: str) -> Any:  # noqa: ANN401
    try:
        import datasets
    except ImportError as error:
        raise _missing(source) from error
    datasets.disable_progress_bars()
    return datasets


def _missing(source: str) -> DataError:
    return DataError(f"{source} needs the package datasets: pip install 'narrows[data]'.")
