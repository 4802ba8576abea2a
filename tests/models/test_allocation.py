"""A process that keeps its memory does not fetch it page by page for each large tensor."""

import ctypes
import subprocess
import sys

import pytest

from narrows.models import allocation

FAULTS = """
import resource, torch
torch.set_num_threads(1)
if {keep}:
    from narrows.models.allocation import keep_memory
    assert keep_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(12 * 2**20).sum()  # 48 MiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(sum(faults() for _ in range(20)))
"""


def _faults(keep: bool) -> int:
    """Page faults of making a large tensor twenty times, the first one not counted.

    Kept memory too is grown a few times, up to five where it was seen: something small of Python's may lie in
    the room that a tensor has left.
    """
    done = subprocess.run(
        [sys.executable, "-c", FAULTS.format(keep=keep)], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library has no mallopt")
def test_large_tensors_take_memory_that_is_there() -> None:
    usual, kept = _faults(False), _faults(True)
    assert kept < usual / 2, (usual, kept)


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert allocation.keep_memory() is False
