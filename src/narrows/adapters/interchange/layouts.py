"""Which file of a folder is the adapter: one rule for a folder on disk and for a repository on the hub."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import PurePosixPath

from narrows.adapters.files import ADAPTER_FILE
from narrows.adapters.interchange.peft import CONFIG, WEIGHTS
from narrows.adapters.interchange.published import METADATA, VECTOR, checkpoints_among

LOOKED_FOR = (
    f"{CONFIG} (PEFT), {ADAPTER_FILE} (a finished training), {VECTOR} and a published run's checkpoints"
)


@dataclass(frozen=True)
class Place:
    """Where an adapter lies in a folder.

    Attributes:
        path: its file, relative to the folder; empty if it is the folder itself (PEFT).
        files: all that reading it takes, relative to the folder.
    """

    path: str
    files: tuple[str, ...]


def adapter_among(names: Collection[str]) -> Place | None:
    """The adapter of a folder that holds these files, or None.

    A published run without a vector at its top is its last checkpoint, the one with the highest step.

    Args:
        names: of files, relative to the folder, with ``/`` between their parts.
    """
    if CONFIG in names:
        return Place("", (CONFIG, WEIGHTS))
    if ADAPTER_FILE in names:
        return place_of(ADAPTER_FILE)
    if VECTOR in names:
        return place_of(VECTOR)
    checkpoints = checkpoints_among(names)
    return place_of(checkpoints[max(checkpoints)]) if checkpoints else None


def place_of(file: str) -> Place:
    """An adapter's own file with what lies beside it; a file of PEFT's stands for its folder."""
    path = PurePosixPath(file)
    if path.name in (CONFIG, WEIGHTS):
        folder = path.parent
        return Place(
            "" if folder == PurePosixPath() else str(folder), (str(folder / CONFIG), str(folder / WEIGHTS))
        )
    beside = path.with_name(METADATA) if path.suffix == ".pt" else path.with_suffix(".json")
    return Place(file, (file, str(beside)))


def run_among(names: Collection[str]) -> tuple[str, ...]:
    """The files of a published run's checkpoints, or none."""
    checkpoints = checkpoints_among(names)
    return (*checkpoints.values(), METADATA) if checkpoints else ()
