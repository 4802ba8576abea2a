"""``narrows`` in a process of its own, forked from a server that has imported already.

Starting Python and importing torch takes seconds each time; a test that kills a command and starts it again
would be little else.
"""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest.mock import patch

_PRELOADED = [
    "narrows.cli.train",
    "narrows.cli.evaluate",
    "narrows.report",
    "narrows.study.execution.running",
]


class CommandProcess:
    """A command in a process and process group of its own, on at most two cores and in one thread.

    Args:
        arguments: of ``narrows``.
        said: a folder, made if need be, in which ``stdout`` and ``stderr`` are kept.
    """

    def __init__(self, arguments: Sequence[object], said: Path) -> None:
        said.mkdir(parents=True, exist_ok=True)
        self._said = said
        for name in ("stdout", "stderr"):
            (said / name).unlink(missing_ok=True)
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(_PRELOADED)
        with patch.dict(os.environ, OMP_NUM_THREADS="1"):  # in another number of threads sums round otherwise
            facts = ([str(argument) for argument in arguments], said, dict(os.environ))
            self._process = context.Process(target=_be_the_command, args=facts)
            self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid
        self.wait_until((said / "stderr").exists)  # it is the leader of its group now

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.is_alive()

    @property
    def stdout(self) -> str:
        """What it printed so far."""
        return (self._said / "stdout").read_text()

    @property
    def stderr(self) -> str:
        """Its errors so far."""
        return (self._said / "stderr").read_text()

    def send(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def kill(self) -> bool:
        """Kill it with all it started; False if it had ended before."""
        if self.running:
            os.killpg(self.pid, signal.SIGKILL)
        return self.wait() == -signal.SIGKILL

    def wait(self, seconds: float = 240) -> int:
        """Its exit code, once it ends."""
        self._process.join(seconds)
        code = self._process.exitcode
        if code is None:
            os.killpg(self.pid, signal.SIGKILL)  # or pytest would wait for it at its own end
            raise AssertionError(f"it did not end in {seconds} s")
        return code

    def wait_until(self, happened: Callable[[], object], seconds: float = 240) -> None:
        """Wait for something that it does; an AssertionError with its errors if it ends before."""
        until = time.monotonic() + seconds
        while not happened():
            assert self.running, f"it ended: {self.stderr if (self._said / 'stderr').exists() else ''}"
            if time.monotonic() > until:
                self.kill()  # or pytest would wait for it at its own end
                raise AssertionError("it does not get on")
            time.sleep(0.002)


def run_command(arguments: Sequence[object], said: Path) -> CommandProcess:
    """Run a command to its end; an AssertionError with its errors if it fails."""
    process = CommandProcess(arguments, said)
    assert process.wait() == 0, process.stderr
    return process


def _be_the_command(arguments: list[str], said: Path, environment: dict[str, str]) -> None:
    os.setsid()
    os.environ.clear()
    os.environ.update(environment)
    if hasattr(os, "sched_setaffinity"):  # a study shares the cores out to its workers' threads
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    for number, name in ((1, "stdout"), (2, "stderr")):
        file = os.open(said / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(file, number)
        os.close(file)
    from narrows.cli import app

    app(arguments)
