"""Measured curves as files: what every unit contributed, so that all that is derived can be derived again."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save as serialise

from narrows.errors import DataError
from narrows.files import atomic_path
from narrows.metrics import Curve
from narrows.strict import one_line, parse_json

Floats = NDArray[np.float64]


def write_samples(path: Path, samples: Mapping[str, Floats], facts: Mapping[str, Any]) -> None:
    """Write arrays of numbers, fp64, and facts about them.

    Args:
        path: ends in ``.safetensors``.
        samples: by name.
        facts: what JSON can hold.
    """
    # A list keeps the order of the names, which safetensors does not.
    # Copied, for safetensors refuses arrays that share their memory, as curves over one grid do.
    plain = {name: torch.tensor(one, dtype=torch.float64).contiguous() for name, one in samples.items()}
    data = serialise(plain, metadata={"facts": json.dumps({"names": list(samples), **facts})})
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def read_samples(path: Path) -> tuple[dict[str, Floats], dict[str, Any]]:
    """The arrays and the facts that :func:`write_samples` wrote.

    Raises:
        DataError: the file is missing or damaged.
    """
    try:
        with safe_open(path, framework="np") as file:
            facts = parse_json((file.metadata() or {})["facts"])
            return {name: np.array(file.get_tensor(name)) for name in facts["names"]}, facts
    except Exception as error:
        raise DataError(
            f"{path} is missing or damaged ({one_line(error)}). Remove its folder and run the study again."
        ) from error


def write_curves(path: Path, curves: Mapping[str, Curve], **facts: Any) -> None:  # noqa: ANN401
    """Write curves by what each unit contributes, (units, points), with their grids."""
    samples = {f"{name}/samples": curve.samples for name, curve in curves.items()}
    grids = {f"{name}/grid": curve.grid for name, curve in curves.items()}
    write_samples(path, samples | grids, {"curves": list(curves), **facts})


def read_curves(path: Path) -> tuple[dict[str, Curve], dict[str, Any]]:
    """The curves that :func:`write_curves` wrote, their bands made anew, and the facts.

    Raises:
        DataError: the file is missing or damaged.
    """
    arrays, facts = read_samples(path)
    return {
        name: Curve.of(name.rsplit("/", 1)[-1], arrays[f"{name}/grid"], arrays[f"{name}/samples"])
        for name in facts["curves"]
    }, facts
