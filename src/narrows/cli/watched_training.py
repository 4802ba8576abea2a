"""``train --monitor``: a training with a monitor looking on."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from narrows.cli.output import show
from narrows.cli.watching_tables import runs_table
from narrows.errors import ConfigError

if TYPE_CHECKING:
    from narrows.training.observers import Observer

SEEN_FILE = "monitor.json"
"""What a monitor saw of a run, in the run's folder."""


class Watching:
    """``train --monitor``: the observer, and what it saw.

    Raises:
        ConfigError: it is to stop without a monitor, or the monitor has no threshold.
    """

    def __init__(self, monitor: Path | None, *, stop: bool) -> None:
        from narrows.geometry.monitoring import Monitor, Watch

        if stop and monitor is None:
            raise ConfigError("--stop needs --monitor FILE, whose alarm ends the training.")
        self._watch = None if monitor is None else Watch(Monitor.load(monitor), stop=stop)

    @property
    def observers(self) -> "Sequence[Observer]":
        """For the training."""
        return [] if self._watch is None else [self._watch]

    def result(self, folder: Path) -> dict[str, Any]:
        """What was seen, written to the run's folder too; empty without a monitor."""
        from narrows.files import write_json
        from narrows.geometry.monitoring import described

        if self._watch is None:
            return {}
        seen = described(self._watch.monitor, self._watch.looks)
        write_json(folder / SEEN_FILE, seen)
        return {"monitor": seen}

    def show(self) -> None:
        """Say it to a person."""
        if self._watch is not None:
            show(runs_table("Monitor", self._watch.monitor, {"this run": self._watch.looks}))
