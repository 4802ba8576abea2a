"""How adapters are stored: tensors in a ``.safetensors`` file, everything else in the JSON beside it."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from safetensors.torch import load as parse
from safetensors.torch import save as serialise
from torch import Tensor

from narrows.errors import AdapterError, NarrowsError
from narrows.files import atomic_path, digest, write_json
from narrows.strict import one_line, read_object


class _Normed(Protocol):
    """An adapter of any kind, as far as it is looked at here."""

    @property
    def effective_norm(self) -> float:
        """The norm of what acts."""


Loaded = TypeVar("Loaded", bound=_Normed)

ADAPTER_FILE = "adapter.safetensors"
"""The adapter in the folder of a finished training."""

_SUFFIX = ".safetensors"


def save(path: Path, form: str, tensors: dict[str, Tensor], facts: dict[str, Any]) -> Path:
    """Write tensors to ``path`` and ``facts`` to the JSON beside it.

    The JSON is written last and holds the tensors' digest, so a kill between the two is seen when loading.

    Args:
        path: ends in ``.safetensors``.
        form: the name and version of the format.
        tensors: what to store.
        facts: anything JSON can hold.

    Returns:
        ``path``.

    Raises:
        AdapterError: the name ends otherwise, or a tensor is not finite.
        RunFolderError: a file cannot be written.
    """
    if path.suffix != _SUFFIX:
        raise AdapterError(f"{path}: an adapter's file name ends in {_SUFFIX}; save it as {path}{_SUFFIX}.")
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise AdapterError(f"{path}: {name} is not finite (NaN or infinity) and was not saved.")
    data = serialise({name: tensor.cpu().contiguous() for name, tensor in tensors.items()})
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
    write_json(path.with_suffix(".json"), {"format": form, **facts, "tensors": digest(data)})
    return path


def load(path: Path, form: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what :func:`save` wrote.

    Raises:
        AdapterError: a file is missing, cut short, changed, or holds something else; names it and the way
            out.
    """
    beside, facts = path.with_suffix(".json"), _facts(path)
    if facts.get("format") != form:
        raise AdapterError(
            f"{beside} has format {one_line(repr(facts.get('format')))} where {form!r} was expected."
        )
    try:
        data = path.read_bytes()
    except OSError as error:
        raise AdapterError(f"{path} cannot be read ({error.strerror or error}).") from error
    tensors = parsed(path, data)
    if digest(data) != facts.get("tensors"):
        raise AdapterError(
            f"{path} is not the file that {beside.name} was written for (a save was interrupted, or one of "
            "the two was replaced); save it again, or use an earlier checkpoint."
        )
    return tensors, facts


def parsed(path: Path, data: bytes) -> dict[str, Tensor]:
    """The tensors in the bytes of a ``.safetensors`` file, all of them finite numbers.

    Raises:
        AdapterError: they are cut short or damaged, or not finite; names the file.
    """
    try:
        tensors: dict[str, Tensor] = parse(data)
        finite = {name: bool(torch.isfinite(tensor.float()).all()) for name, tensor in tensors.items()}
    except Exception as error:  # a hostile header reaches into torch, which raises what it likes
        raise AdapterError(
            f"{path} is cut short or damaged ({one_line(error)}); copy or save it again."
        ) from error
    for name, right in finite.items():
        if not right:
            raise AdapterError(f"{path}: {one_line(name)} is not finite (NaN or infinity): train it again.")
    return tensors


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Errors about what a file holds name the file.

    Raises:
        AdapterError: for every error that wrong values in the file can lead to.
    """
    try:
        yield
    except KeyError as error:
        raise AdapterError(f"{path} or its JSON lacks {one_line(error)}; save the adapter again.") from error
    except NarrowsError as error:
        raise AdapterError(f"{path}: {error}") from error
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise AdapterError(f"{path} or its JSON holds a wrong value ({one_line(error)}).") from error


def usable(found: Loaded) -> Loaded:
    """The adapter, if its norm is a number: finite values may still be too large for one.

    Raises:
        AdapterError: it is not.
    """
    if not math.isfinite(found.effective_norm):
        raise AdapterError("its norm is beyond all numbers: train it again.")
    return found


def form_of(path: Path) -> object:
    """The name and version of a stored adapter's format.

    Raises:
        AdapterError: a file is missing, or the JSON is unreadable.
    """
    return _facts(path).get("format")


def _facts(path: Path) -> dict[str, Any]:
    """What the JSON beside the tensors says."""
    beside = path.with_suffix(".json")
    for file in (path, beside):
        if not file.is_file():
            raise AdapterError(
                f"{file} does not exist: an adapter is a {_SUFFIX} file with a .json beside it."
            )
    return read_object(beside, AdapterError, "Copy or save it again.")
