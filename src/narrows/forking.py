"""Processes that are forked from one that has imported what they need, and so begin at once."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.context import BaseContext
from types import FrameType

NEEDED = "narrows.study.stages.doing"
"""What a worker imports: some seconds' work, done once, beside what else there is to do meanwhile."""


def begin_importing() -> None:
    """Let a process beside this one import what workers need; where there is no such process, nothing.

    Call it before this one imports them too: then both do so at the same time.
    """
    if _forks():
        multiprocessing.set_forkserver_preload([NEEDED])
        forkserver.ensure_running()


def worker_context() -> BaseContext:
    """How workers are begun: forked from the process that has imported, or each anew."""
    begin_importing()
    return multiprocessing.get_context("forkserver" if _forks() else "spawn")


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C back until the block is done, then let it be answered as it would have been.

    A process that is begun while Ctrl-C comes may be known to nobody: it would neither be stopped nor find
    what it is handed. In other threads than the main one, where Ctrl-C is never answered, nothing changes.
    """
    usual = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(usual):
        yield
        return
    held: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda number, frame: held.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
        if held:
            usual(*held[0])


def _forks() -> bool:
    return sys.platform == "linux" and "forkserver" in multiprocessing.get_all_start_methods()


def alive(process: int) -> bool:
    """Whether there is a process of a number."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
