"""Two processes of data parallelism on this machine, for tests: begun, joined by gloo, ended."""

import os
import subprocess
import sys
from pathlib import Path

SECONDS = 300
"""How long the two may take."""


def run_two(script: Path, folder: Path) -> None:
    """Run a script twice at once, with a folder as its argument, as a launcher would.

    It is to call :func:`meet` first and :func:`part` last; it may import what the test may.

    Raises:
        AssertionError: one of them fails; with the end of its errors.
    """
    processes = []
    for rank in ("0", "1"):
        env = os.environ | {
            "RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2",
            "GLOO_SOCKET_IFNAME": "lo0" if sys.platform == "darwin" else "lo", "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join(sys.path),
        }  # fmt: skip
        command = [sys.executable, str(script), str(folder)]
        processes.append(subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True))
    try:
        for process in processes:
            _, errors = process.communicate(timeout=SECONDS)
            assert process.returncode == 0, errors[-3000:]
    finally:
        for process in processes:
            process.kill()


def meet(folder: Path) -> int:
    """Join the other process, and say which of the two this is.

    They meet in a file: a port that was free may be taken by now, and at one the network is asked for names.
    """
    from torch import distributed

    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=size)
    return rank


def part() -> None:
    """End this process at once.

    A thread of gloo's that has still to let go of a tensor waits for Python's lock. Then (torch 2.13) the
    process hangs in ``destroy_process_group``, which holds it; and without that it aborts when Python ends.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
