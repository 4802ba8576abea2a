"""Judges' replies, kept on disk as they come: whatever happens next, no reply is paid for twice."""

import json
import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from narrows.errors import RunFolderError
from narrows.evaluation.llm.scoring import Reply

CACHE_VARIABLE = "NARROWS_CACHE"
FILE = "judgements.sqlite"
_PATIENCE_S = 30.0


def default_cache() -> Path:
    """Where replies are kept: ``$NARROWS_CACHE``, or ``narrows`` in the user's cache folder."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen) / FILE
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "narrows" / FILE


class Replies:
    """Replies by key, in one SQLite file that several processes may share.

    A key is a digest of the judge and of the whole message to it; of the message nothing else is kept. A
    reply is on disk before :meth:`keep` returns.

    Args:
        path: the file; made if missing. None keeps the replies in memory only.

    Raises:
        RunFolderError: the file cannot be used; names it.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._base = sqlite3.connect(
                ":memory:" if path is None else path,
                timeout=_PATIENCE_S,
                isolation_level=None,
                check_same_thread=False,  # a task may be made in one thread and run in another
            )
            self._base.execute("PRAGMA journal_mode=WAL")  # with it, a commit outlives a killed process
            self._base.execute("PRAGMA synchronous=NORMAL")
            self._base.execute(
                "CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, reply TEXT NOT NULL)"
            )
        except (sqlite3.Error, OSError) as error:
            raise self._unusable(error) from error

    def known(self, keys: Iterable[str]) -> set[str]:
        """Those of the keys that have a reply."""
        return {key for key in keys if self.find(key) is not None}

    def find(self, key: str) -> Reply | None:
        """The reply to a message, or None."""
        try:
            row = self._base.execute("SELECT reply FROM replies WHERE key = ?", (key,)).fetchone()
            if row is None:
                return None
            text, top = json.loads(row[0])
            return Reply(str(text), None if top is None else tuple((str(t), float(p)) for t, p in top))
        except (sqlite3.Error, ValueError, TypeError) as error:
            raise self._unusable(error) from error

    def keep(self, key: str, reply: Reply) -> Reply:
        """Keep the reply to a message; one that is there already (from another process, say) stays.

        Returns:
            The reply that is kept: what every later judging finds.
        """
        try:
            self._base.execute(
                "INSERT OR IGNORE INTO replies VALUES (?, ?)", (key, json.dumps([reply.text, reply.top]))
            )
        except sqlite3.Error as error:
            raise self._unusable(error) from error
        return self.find(key) or reply

    def close(self) -> None:
        """Let go of the file."""
        self._base.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _unusable(self, error: Exception) -> RunFolderError:
        return RunFolderError(
            f"{self._path}: the judges' replies cannot be kept there ({error}). Move the file away, or "
            f"choose another folder by the variable {CACHE_VARIABLE}."
        )
