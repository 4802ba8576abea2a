"""Processes that are forked from one that has imported what they need, and so begin at once."""

import multiprocessing
import os
import sys
from multiprocessing import forkserver
from multiprocessing.context import BaseContext

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
