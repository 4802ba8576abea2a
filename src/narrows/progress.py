"""Progress that a person can read: one live bar for each thing that takes longer than a few seconds."""

import os
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

T = TypeVar("T")

console = Console(stderr=True)
_current: ContextVar[Progress | None] = ContextVar("narrows_progress", default=None)


def is_first_process() -> bool:
    """Whether this process speaks to the user: of several that a launcher started, only the first does."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def live_progress(quiet: bool = False) -> Iterator[Progress]:
    """One display shared by everything inside; nested calls join it instead of drawing a second one."""
    running = _current.get()
    if running is not None:
        yield running
        return
    progress = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("[dim]{task.fields[note]}"),
        console=console,
        disable=quiet,
        transient=not console.is_terminal,
    )
    token = _current.set(progress)
    try:
        with progress:
            yield progress
    finally:
        _current.reset(token)


class Bar:
    """One running bar: advance it, and say something short beside it."""

    def __init__(self, progress: Progress, description: str, total: int | None) -> None:
        self._progress = progress
        self._task = progress.add_task(description, total=total, note="")

    def advance(self, amount: int = 1, note: str | None = None) -> None:
        """Move the bar forward and, if given, replace the note beside it."""
        self._progress.advance(self._task, amount)
        if note is not None:
            self._progress.update(self._task, note=note)

    def close(self) -> None:
        """Take the bar off the display."""
        self._progress.remove_task(self._task)


@contextmanager
def bar(description: str, total: int | None = None) -> Iterator[Bar]:
    """Show a bar while the block runs; silent where no :func:`live_progress` is open."""
    running = _current.get() or Progress(disable=True)
    one = Bar(running, description, total)
    try:
        yield one
    finally:
        one.close()


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Iterate with a bar."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with bar(description, total) as shown:
        for item in items:
            yield item
            shown.advance()
