"""How adapters are stored: tensors in a ``.safetensors`` file, everything else in the JSON beside it."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse
from safetensors.torch import save as serialise
from torch import Tensor

from narrows.errors import AdapterError
from narrows.files import atomic_path, digest, read_json, write_json

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
        raise AdapterError(f"{beside} has format {facts.get('format')!r} where {form!r} was expected.")
    data = path.read_bytes()
    try:
        tensors = parse(data)
    except SafetensorError as error:
        raise AdapterError(f"{path} is cut short or damaged ({error}); copy or save it again.") from error
    if digest(data) != facts.get("tensors"):
        raise AdapterError(
            f"{path} is not the file that {beside.name} was written for (a save was interrupted, or one of "
            "the two was replaced); save it again, or use an earlier checkpoint."
        )
    return tensors, facts


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
    try:
        facts = read_json(beside)
    except ValueError as error:
        raise AdapterError(f"{beside} is not readable JSON ({error}); copy or save it again.") from error
    return facts if isinstance(facts, dict) else {}
