"""The steering vectors that the paper's authors publish, in both of their layouts (paper §5).

One is a file with a dictionary, ``steering_vector.pt``, a run's checkpoints being
``checkpoints/checkpoint-N/steering_vector.pt``; the other a run folder of bare tensors,
``steering_vector_checkpoint_N.pt``, with a ``metadata.json``. In neither is α applied to the tensor.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeGuard

import torch
from torch import Tensor

from narrows.adapters import files
from narrows.adapters.steering import SteeringVector
from narrows.errors import AdapterError
from narrows.strict import one_line, read_object

ALPHA = 256.0
"""α where a file does not say it: the paper's."""

WIDEST = 2**20
"""Numbers of a vector: the residual stream of no model is a tenth as wide, and a file may claim any width."""

VECTOR, METADATA = "steering_vector.pt", "metadata.json"
"""A dictionary's file, a run's last one where it lies at the top; and what says the facts of bare tensors."""

_CHECKPOINT = re.compile(
    r"checkpoints/checkpoint-([0-9]{1,18})/steering_vector\.pt|steering_vector_checkpoint_([0-9]{1,18})\.pt"
)


def read_published(
    path: Path | str, *, layer: int | None = None, alpha: float | None = None
) -> SteeringVector:
    """Read one published steering vector; nothing in the file is ever run.

    Args:
        path: a ``.pt`` file of either layout.
        layer: where it acts, for a bare tensor whose folder does not say it.
        alpha: α, where neither the file nor its folder says it (default: the paper's 256).

    Raises:
        AdapterError: the file is missing, damaged or holds something else, or the layer is not known.
    """
    path = Path(path)
    found = _load(path)
    facts: dict[str, Any] = _metadata(path.parent)
    if isinstance(found, dict):
        facts |= {key: value for key, value in found.items() if key != "steering_vector"}
        found = found.get("steering_vector")
    if not _is_vector(found):
        raise AdapterError(f"{path} holds no steering vector of shape (width, 1) or (width,).")
    if found.numel() > WIDEST:
        raise AdapterError(f"{path} holds {found.numel()} numbers; no steering vector is that long.")
    if not torch.isfinite(found).all():
        raise AdapterError(f"{path} holds a vector that is not finite (NaN or infinity).")
    place = facts.get("layer_idx", facts.get("layer", layer))
    if place is None:
        raise AdapterError(
            f"{path} does not say its layer, and no {METADATA} beside it does: give the layer yourself, in "
            f'such a file ({{"layer_idx": 24}}) or as read_published(…, layer=24).'
        )
    given = facts.get("alpha", ALPHA if alpha is None else alpha)
    width = facts.get("d_model")
    try:
        layer, alpha, width = int(place), float(given), None if width is None else int(width)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise AdapterError(f"{path}: its layer, alpha or width is no number ({one_line(error)}).") from error
    if width is not None and width != found.numel():
        raise AdapterError(f"{path} holds {found.numel()} numbers and says that the width is {width}.")
    with files.naming(path):
        return files.usable(SteeringVector(found.flatten().float(), layer, alpha, {"published": path.name}))


def checkpoints_among(names: Iterable[str]) -> dict[int, str]:
    """A published run's checkpoints by step, in the order of the steps as numbers; none is an empty one.

    Args:
        names: of files, relative to the run's folder, with ``/`` between their parts.
    """
    steps: dict[int, str] = {}
    for name in sorted(names):  # so that the same one is taken each time where two say the same step
        found = _CHECKPOINT.fullmatch(name)
        if found:
            steps[int(found[1] or found[2])] = name
    return dict(sorted(steps.items()))


def read_published_run(folder: Path | str, *, layer: int | None = None) -> dict[int, SteeringVector]:
    """Read a published run's checkpoints, by step: N is a number, not a text.

    Raises:
        AdapterError: the folder holds none, or one is damaged.
    """
    folder = Path(folder)
    files = checkpoints_among(names_in(folder))
    if not files:
        raise AdapterError(
            f"{folder} holds no published checkpoints: looked for checkpoints/checkpoint-N/{VECTOR} and "
            "steering_vector_checkpoint_N.pt."
        )
    return {step: read_published(folder / name, layer=layer) for step, name in files.items()}


def names_in(folder: Path) -> set[str]:
    """The files at the top of a folder, and the checkpoints below it, by their names relative to it."""
    files = [path for path in folder.glob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix() for path in (*files, *folder.glob(f"checkpoints/*/{VECTOR}"))}


def _is_vector(found: object) -> TypeGuard[Tensor]:
    """Whether something is an ordinary tensor of real numbers in one row or column."""
    return (
        isinstance(found, Tensor)
        and found.layout == torch.strided
        and found.is_floating_point()
        and found.numel() == max(found.shape, default=0) > 0
    )


def _load(path: Path) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise AdapterError(f"{path} does not exist.") from error
    except PermissionError as error:
        raise AdapterError(f"{path} cannot be read ({error.strerror}).") from error
    except Exception as error:  # a damaged pickle can end in any error
        raise AdapterError(
            f"{path} cannot be read as plain tensors (it is damaged, or holds code, which is never run): "
            f"{one_line(str(error).strip().partition(chr(10))[0] or error)}"
        ) from error


def _metadata(folder: Path) -> dict[str, Any]:
    """What a run's metadata.json says, if there is one."""
    path = folder / METADATA
    return read_object(path, AdapterError, "Copy it again.") if path.is_file() else {}
