"""The steering vectors that the paper's authors publish, in both of their layouts (paper §5).

One is a file with a dictionary, ``steering_vector.pt``, a run's checkpoints being
``checkpoints/checkpoint-N/steering_vector.pt``; the other a run folder of bare tensors,
``steering_vector_checkpoint_N.pt``, with a ``metadata.json``. In neither is α applied to the tensor.
"""

import re
from pathlib import Path
from typing import Any

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

_CHECKPOINT = re.compile(r"checkpoint[-_](\d+)")


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
    if not isinstance(found, Tensor) or found.numel() != max(found.shape, default=0):
        raise AdapterError(f"{path} holds no steering vector of shape (width, 1) or (width,).")
    if not 0 < found.numel() <= WIDEST or not found.is_floating_point() or found.layout != torch.strided:
        raise AdapterError(
            f"{path} holds no steering vector of plain numbers ({found.numel()} of type {found.dtype})."
        )
    place = facts.get("layer_idx", facts.get("layer", layer))
    if place is None:
        raise AdapterError(
            f"{path} does not say its layer, and no metadata.json beside it does: give the layer yourself."
        )
    with files.naming(path):
        vector = found.flatten().float()
        if not torch.isfinite(vector).all():
            raise AdapterError("the vector is not finite (NaN or infinity).")
        width = facts.get("d_model")
        if width is not None and int(width) != vector.numel():
            raise AdapterError(f"holds {vector.numel()} numbers and says that the width is {int(width)}.")
        given = facts.get("alpha", ALPHA if alpha is None else alpha)
        return files.usable(SteeringVector(vector, int(place), float(given), {"published": path.name}))


def read_published_run(folder: Path | str, *, layer: int | None = None) -> dict[int, SteeringVector]:
    """Read a published run's checkpoints, by step: N is a number, not a text.

    Raises:
        AdapterError: the folder holds none, or one is damaged.
    """
    folder = Path(folder)
    files = {
        *folder.glob("checkpoints/checkpoint-*/steering_vector.pt"),
        *folder.glob("steering_vector_checkpoint_*.pt"),
    }
    steps = {}
    for file in files:
        number = _CHECKPOINT.search(file.name) or _CHECKPOINT.search(file.parent.name)
        if number:
            steps[int(number[1])] = file
    if not steps:
        raise AdapterError(
            f"{folder} holds no published checkpoints: looked for "
            "checkpoints/checkpoint-N/steering_vector.pt and steering_vector_checkpoint_N.pt."
        )
    return {step: read_published(steps[step], layer=layer) for step in sorted(steps)}


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
    path = folder / "metadata.json"
    return read_object(path, AdapterError, "Copy it again.") if path.is_file() else {}
