"""The checkpoints of a training run: one of ours or a published one, on this disk or on the hub."""

import re
from collections.abc import Collection
from pathlib import Path

from safetensors import SafetensorError

from narrows.adapters import Adapter, load_adapter
from narrows.adapters.interchange import read_published_run
from narrows.adapters.interchange.hub import HubName, fetched_folder, on_hub
from narrows.adapters.interchange.layouts import run_among
from narrows.adapters.interchange.published import checkpoints_among, names_in
from narrows.errors import AdapterError, NarrowsError, RunFolderError
from narrows.files import RUN_FILE
from narrows.strict import one_line, read_object
from narrows.training import CheckpointFolder, Recipe
from narrows.training.prepare import START_FILE, from_checkpoint

CHECKPOINTS = "checkpoints"

_OWN_CHECKPOINT = re.compile(rf"{CHECKPOINTS}/step-[0-9]+\.safetensors")


def read_trajectory(folder: Path | str) -> dict[int, Adapter]:
    """The checkpoints of a training run by step, for :func:`narrows.trajectory`.

    In a run of ours step 0 is where it started: an adapter that does nothing, or the one that it continued. A
    published run does not say where it started, so it begins with its first checkpoint.

    Args:
        folder: a training run's folder; a published run's, in either layout (paper §5); or one of them on
            the hub, as ``hub:owner/name[@revision][::path/inside]``.

    Raises:
        RunFolderError: the folder holds no training run, or none of its checkpoints.
        AdapterError: a checkpoint is cut short; or the hub has no such repository, does not let this login in
            or cannot be reached.
    """
    if on_hub(folder):
        what = f"no training run: looked for {RUN_FILE} and a published run's checkpoints"
        with fetched_folder(HubName.parse(folder), _files_of_run, what) as fetched:
            return _read(fetched)
    return _read(Path(folder))


def _files_of_run(names: Collection[str]) -> list[str]:
    """Which files of a folder its run's trajectory is read from."""
    if RUN_FILE not in names:
        return list(run_among(names))
    start = (START_FILE, str(Path(START_FILE).with_suffix(".json")))
    return [RUN_FILE, *start, *(name for name in names if _OWN_CHECKPOINT.fullmatch(name))]


def _read(folder: Path) -> dict[int, Adapter]:
    if not (folder / RUN_FILE).exists() and checkpoints_among(names_in(folder)):
        return dict(read_published_run(folder))
    return _read_own(folder)


def _read_own(folder: Path) -> dict[int, Adapter]:
    """The checkpoints of a run that was trained here."""
    marker = folder / RUN_FILE
    if not marker.exists():
        raise RunFolderError(
            f"{marker} does not exist and there are no published checkpoints: {folder} is no folder of a "
            "training run."
        )
    identity = read_object(marker, RunFolderError, f"{folder} is no whole folder of a training run.")
    try:
        recipe = Recipe.model_validate(identity["recipe"])
    except (ValueError, KeyError) as error:
        raise RunFolderError(f"{marker} is not that of a training run ({one_line(error)}).") from error
    checkpoints = CheckpointFolder(folder / CHECKPOINTS)
    vectors: dict[int, Adapter] = {}
    for step in checkpoints.steps():
        try:
            vectors[step] = from_checkpoint(recipe, checkpoints.load(step).tensors)
        except (NarrowsError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise AdapterError(
                f"{checkpoints.path(step)} is cut short or damaged ({one_line(error)}). Run the same "
                "training again: it goes on from the checkpoint before."
            ) from error
    if not vectors:
        raise RunFolderError(f"{checkpoints.folder} holds no checkpoint: nothing was trained there yet.")
    start = folder / START_FILE
    vectors[0] = load_adapter(start) if start.exists() else next(iter(vectors.values())).scaled(0.0)
    if len({len(vector.coordinates()) for vector in vectors.values()}) > 1:
        raise AdapterError(
            f"{checkpoints.folder} holds checkpoints of different sizes: they are of two runs."
        )
    return dict(sorted(vectors.items()))
