"""Frozen states on disk: computed once for all epochs, trainings and stages that read the same rows."""

import logging
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TypeAlias

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from narrows.errors import ConfigError, RunFolderError
from narrows.files import read_json, write_json

logger = logging.getLogger(__name__)

States: TypeAlias = tuple[Tensor, Tensor]
"""Of one row: those entering the adapter, (tokens, hidden), and the chat model's final ones, (·, hidden)."""

Compute: TypeAlias = Callable[[], Iterable[tuple[int, States]]]
"""Gives the places of rows, in any order, each with its states."""

FOLDER_VARIABLE, LIMIT_VARIABLE = "NARROWS_STATES", "NARROWS_STATES_GIB"
"""Environment variables: where states are kept, and GiB that they may take; children inherit them."""

DEFAULT_GIB = 20.0

INDEX = "index.json"
SHARD_BYTES = 2**28
MIB, GIB = 2**20, 2**30


class StoredStates:
    """States of rows in files that are mapped into memory: a row is read when it is asked for.

    Args:
        folder: of one set of rows, with its index.

    Raises:
        OSError, ValueError, SafetensorError: it is not there, or not whole.
    """

    def __init__(self, folder: Path) -> None:
        self._shard_of: list[int] = read_json(folder / INDEX)["shard_of"]
        names = [_shard(folder, number) for number in range(max(self._shard_of, default=-1) + 1)]
        self._shards = [safe_open(name, "pt") for name in names]

    def __len__(self) -> int:
        return len(self._shard_of)

    def __getitem__(self, place: int) -> States:
        shard = self._shards[self._shard_of[place]]
        hidden: Tensor = shard.get_tensor(f"{place}.hidden")  # type: ignore[no-untyped-call]
        final: Tensor = shard.get_tensor(f"{place}.final")  # type: ignore[no-untyped-call]
        return hidden, final


class StateFolder:
    """Sets of states by key, within a limit; what was not read for longest makes room.

    Several processes may share the folder.

    Args:
        folder: made if it is not there.
        limit: bytes of all sets together.

    Raises:
        ConfigError: the limit is not above 0.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        if limit <= 0:
            raise ConfigError(f"states need room on the disk, and {limit} bytes are none.")
        self._folder, self._limit = Path(folder), limit

    def get(
        self, key: str, size: int, compute: Callable[[], Iterable[tuple[int, States]]]
    ) -> StoredStates | None:
        """The states of a set: found, or computed and kept.

        Args:
            key: stands for all that determines them.
            size: bytes that they take.
            compute: computes them.

        Returns:
            They; None if they are larger than the limit.

        Raises:
            RunFolderError: the folder cannot be written, or the disk is full.
        """
        place = self._folder / key
        found = self._opened(place)
        if found is not None or size > self._limit:
            return found
        logger.info("states of %d MiB are kept in %s (at most %d MiB)", *self._facts(size))
        working = self._folder / f".{key}.{uuid.uuid4().hex[:8]}.part"
        try:
            self._make_room(size)
            working.mkdir(parents=True)
            _write(working, compute())
            try:
                working.rename(place)
            except OSError:  # another process was quicker
                shutil.rmtree(working, ignore_errors=True)
        except OSError as error:
            raise RunFolderError(
                f"{self._folder}: states cannot be kept ({error.strerror or error})."
            ) from error
        finally:
            shutil.rmtree(working, ignore_errors=True)
        return self._opened(place)

    def _facts(self, size: int) -> tuple[int, Path, int]:
        return -(-size // MIB), self._folder, self._limit // MIB

    def _opened(self, place: Path) -> StoredStates | None:
        """A set that is there and whole; a damaged one is removed."""
        if not place.is_dir():
            return None
        try:
            states = StoredStates(place)
            os.utime(place, ns=(time.time_ns(),) * 2)  # the file system's own clock is coarse
        except (OSError, ValueError, KeyError, SafetensorError):
            logger.warning("%s is damaged and is computed again", place)
            shutil.rmtree(place, ignore_errors=True)
            return None
        return states

    def _make_room(self, size: int) -> None:
        """Remove the sets that were not read for longest until one more fits."""
        sets = [one for one in self._folder.iterdir() if one.is_dir()] if self._folder.exists() else []
        held = {one: sum(file.stat().st_size for file in one.iterdir()) for one in sets}
        for oldest in sorted(sets, key=lambda one: one.stat().st_mtime):
            if sum(held.values()) + size <= self._limit:
                return
            if not oldest.name.endswith(".part"):
                shutil.rmtree(oldest, ignore_errors=True)
                del held[oldest]


@contextmanager
def keeping_states(folder: Path | str, limit: int) -> Iterator[None]:
    """Let frozen rows that are made within keep their states in a folder.

    Args:
        folder: where.
        limit: bytes.
    """
    token = _folder.set(StateFolder(Path(folder), limit))
    try:
        yield
    finally:
        _folder.reset(token)


def keep_states(folder: Path, gib: float) -> None:
    """Let all frozen rows of this process, and of those that it starts, keep their states in a folder.

    Args:
        folder: where.
        gib: GiB that they may take.

    Raises:
        ConfigError: that is not above 0.
    """
    StateFolder(folder, int(gib * GIB))
    os.environ[FOLDER_VARIABLE], os.environ[LIMIT_VARIABLE] = str(Path(folder).absolute()), str(gib)


def state_folder() -> StateFolder | None:
    """Where states are kept now; None if they are not.

    Raises:
        ConfigError: the environment's limit is no number above 0.
    """
    here, folder = _folder.get(), os.environ.get(FOLDER_VARIABLE)
    if here is not None or not folder:
        return here
    given = os.environ.get(LIMIT_VARIABLE, str(DEFAULT_GIB))
    try:
        gib = float(given)
    except ValueError:
        raise ConfigError(f"{LIMIT_VARIABLE} must be a number of GiB, not {given!r}.") from None
    return StateFolder(Path(folder), int(gib * GIB))


_folder: ContextVar[StateFolder | None] = ContextVar("where frozen states are kept", default=None)


def _shard(folder: Path, number: int) -> Path:
    return folder / f"states-{number:05}.safetensors"


def _write(folder: Path, computed: Iterable[tuple[int, States]]) -> None:
    """Write shards as the states come, then the index."""
    waiting: dict[str, Tensor] = {}
    shard_of: dict[int, int] = {}
    number = 0
    for place, (hidden, final) in computed:
        waiting |= {f"{place}.hidden": hidden.cpu().contiguous(), f"{place}.final": final.cpu().contiguous()}
        shard_of[place] = number
        if sum(one.nbytes for one in waiting.values()) >= SHARD_BYTES:
            save_file(waiting, _shard(folder, number))
            waiting, number = {}, number + 1
    if waiting:
        save_file(waiting, _shard(folder, number))
    write_json(folder / INDEX, {"shard_of": [shard_of[place] for place in range(len(shard_of))]})
