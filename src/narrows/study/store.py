"""Results of stages: each in a folder of its own that appears whole, once, under the stage's id."""

import json
import logging
import os
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from narrows.errors import DataError, RunFolderError
from narrows.files import write_json
from narrows.strict import read_object
from narrows.study.plan.stage import Stage

logger = logging.getLogger(__name__)

DONE = "stage.json"
"""Written last in a stage's folder: what it was, and what it took."""


class Store:
    """The results of stages under one folder, which processes and machines may share.

    ``stages/ID`` is finished and never changes; ``work/ID`` is under way, and is taken up again after a kill;
    ``locks/NAME`` is held by who does something, and falls free when that process dies; ``logs/NAME.log``
    says what happened; ``journal.jsonl`` when stages were begun, finished and failed.

    Args:
        root: the folder; made if missing.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root).resolve()
        self._known: set[str] = set()

    def finished(self, stage_id: str) -> bool:
        """Whether a stage's result is there."""
        if stage_id not in self._known and (self.folder(stage_id) / DONE).is_file():
            self._known.add(stage_id)
        return stage_id in self._known

    def folder(self, stage_id: str) -> Path:
        """Where a finished stage's result is."""
        return self.root / "stages" / stage_id

    def work(self, stage_id: str) -> Path:
        """Where a stage is under way."""
        return self.root / "work" / stage_id

    def log(self, name: str) -> Path:
        """The log of a task."""
        return self.root / "logs" / f"{name}.log"

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
        work, folder = self.work(stage.id), self.folder(stage.id)
        write_json(work / DONE, {**stage.as_json(), **facts})
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            work.rename(folder)
        except OSError as error:
            if not self.finished(stage.id):
                raise RunFolderError(f"{folder}: cannot be written ({error.strerror or error}).") from error
            shutil.rmtree(work, ignore_errors=True)

    @contextmanager
    def claimed(self, name: str) -> Iterator[bool]:
        """Hold the lock of a task inside the ``with`` block; False if another process holds it."""
        path = self.root / "locks" / f"{name}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def running(self, name: str) -> bool:
        """Whether a process holds the lock of a task now."""
        if not (self.root / "locks" / f"{name}.lock").exists():
            return False
        with self.claimed(name) as free:
            return not free

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
