"""Results of stages: each in a folder of its own that appears whole, once, under the stage's id."""

import json
import logging
import os
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from narrows.errors import DataError, RunFolderError
from narrows.files import file_digest, write_json
from narrows.strict import read_object
from narrows.study.plan.stage import Stage

logger = logging.getLogger(__name__)

DONE = "stage.json"
"""Written last in a stage's folder: what it was, and what it took."""


def contents(folder: Path) -> dict[str, str]:
    """Digests of a stage's files by their place in its folder, without what it says of itself."""
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    found = {file.relative_to(folder).as_posix(): file_digest(file) for file in files}
    found.pop(DONE, None)
    return found


class Store:
    """The results of stages under one folder, which processes, machines and studies may share.

    ``stages/ID`` is finished and never changes; ``work/ID`` is under way, and is taken up again after a kill;
    ``locks/ID`` is held by who does a stage, and falls free when that process dies; ``logs/NAME.log``
    says what happened; ``journal.jsonl`` when stages were begun, finished and failed.

    Args:
        root: the study's folder, where its journal and its summary are; made if missing.
        home: where all else is, if several studies share it (default: the study's folder).
    """

    def __init__(self, root: Path | str, home: Path | str | None = None) -> None:
        self.root = Path(root).resolve()
        self.home = self.root if home is None else Path(home).resolve()
        self._known: set[str] = set()

    @property
    def shared(self) -> str | None:
        """What :func:`narrows.study.store_shared.open_store` opens this store by, beside the root."""
        return None if self.home == self.root else str(self.home)

    def refresh(self) -> None:
        """Look again at what other machines have finished: on a network's disk a listing is kept a while."""
        with suppress(OSError):
            os.listdir(self.home / "stages")  # noqa: PTH208  (a listing asks the server, a look at a name need not)

    def share_local(self) -> None:
        """Give others what was finished here before the store was shared; here: nothing to do."""

    def share_log(self, name: str) -> None:
        """Give others the log of a task; here: they see it where it is."""

    def finished(self, stage_id: str) -> bool:
        """Whether a stage's result is there."""
        if stage_id not in self._known and (self._here(stage_id) / DONE).is_file():
            self._known.add(stage_id)
        return stage_id in self._known

    def forget(self, stage_id: str) -> None:
        """Take a stage's result away, if there is one, so that it is done again."""
        shutil.rmtree(self._here(stage_id), ignore_errors=True)
        self._known.discard(stage_id)

    def folder(self, stage_id: str) -> Path:
        """Where a finished stage's result is."""
        return self._here(stage_id)

    def work(self, stage_id: str) -> Path:
        """Where a stage is under way."""
        return self.home / "work" / stage_id

    def log(self, name: str) -> Path:
        """The log of a task."""
        return self.home / "logs" / f"{name}.log"

    def facts(self, stage_id: str) -> dict[str, Any]:
        """What a finished stage says of itself.

        Raises:
            DataError: it is not finished, or its file is damaged.
        """
        path = self.folder(stage_id) / DONE
        return read_object(path, DataError, "Remove the stage's folder and run the study again.")

    def publish(self, stage: Stage, facts: Mapping[str, Any]) -> None:
        """Make what lies in the stage's work folder its result, in one step.

        Whoever comes second finds the same result there and leaves it.

        Raises:
            RunFolderError: it cannot be written.
        """
        self._seal(stage, facts)
        self._settle(stage)

    def _seal(self, stage: Stage, facts: Mapping[str, Any]) -> None:
        """Write what a stage was, what it took, and its files' digests beside its result."""
        work = self.work(stage.id)
        for half in work.rglob(".*.part"):  # written when an earlier sitting was killed
            half.unlink(missing_ok=True)
        write_json(work / DONE, {**stage.as_json(), **facts, "files": contents(work)})

    def _settle(self, stage: Stage) -> None:
        """Move a stage's work to its place."""
        work, folder = self.work(stage.id), self._here(stage.id)
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            work.rename(folder)
        except OSError as error:
            if not (folder / DONE).is_file():
                raise RunFolderError(f"{folder}: cannot be written ({error.strerror or error}).") from error
            shutil.rmtree(work, ignore_errors=True)

    @contextmanager
    def claimed(self, *names: str) -> Iterator[bool]:
        """Hold the locks of stages inside the ``with`` block; False if another process holds one of them.

        It is stages that are locked, and not tasks: a training may be in different banks of two studies.
        """
        with ExitStack() as held:
            for name in sorted(names):
                path = self._lock(name)
                path.parent.mkdir(parents=True, exist_ok=True)
                lock = FileLock(path)
                try:
                    lock.acquire(blocking=False)
                except Timeout:
                    held.close()
                    yield False
                    return
                held.callback(lock.release)
            yield True

    def running(self, *names: str) -> bool:
        """Whether another process holds the lock of one of some stages now."""
        there = [name for name in names if self._lock(name).exists()]
        with self.claimed(*there) as free:
            return not free

    def _here(self, stage_id: str) -> Path:
        return self.home / "stages" / stage_id

    def _lock(self, name: str) -> Path:
        return self.home / "locks" / f"{name}.lock"

    def note(self, event: str, stage_id: str, **facts: object) -> None:
        """Add a line to the journal; lines of several processes do not mix."""
        self.root.mkdir(parents=True, exist_ok=True)
        line = json.dumps(
            {
                "time": round(time.time(), 3),
                "event": event,
                "stage": stage_id,
                "host": socket.gethostname(),
                "process": os.getpid(),
                **facts,
            }
        )
        with (self.root / "journal.jsonl").open("ab+") as journal:
            end = journal.seek(0, os.SEEK_END)
            journal.seek(max(end - 1, 0))
            # By a kill or a full disk; or it is being written this moment, and an empty line comes after it.
            cut_short = journal.read(1) not in (b"", b"\n")
            journal.write(b"\n" * cut_short + line.encode() + b"\n")

    def journal(self) -> list[dict[str, Any]]:
        """The journal's lines, those left out that a kill cut short."""
        path = self.root / "journal.jsonl"
        found = []
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
            if not line:
                continue
            try:
                found.append(json.loads(line))
            except ValueError:
                logger.warning("%s holds a line that was cut short; it is left out.", path)
        return found
