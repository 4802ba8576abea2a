"""Both sides turn by turn, the matmul rate of the machine, and what a side needs in memory."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch

LONG_S = 10.0

Phases = dict[str, float]
"""Seconds by what was done in them."""


@dataclass(frozen=True)
class Timing:
    """Seconds of one phase, ours and the baseline's, and how many times ours is faster."""

    ours: float
    baseline: float
    ratio: float
    least: float
    most: float

    def as_row(self) -> dict[str, float]:
        """The same by the names of ``results.json``."""
        return {
            "ours_s": self.ours,
            "baseline_s": self.baseline,
            "ratio_median": self.ratio,
            "ratio_min": self.least,
            "ratio_max": self.most,
        }


def turn_by_turn(
    ours: Callable[[], Phases], baselines: Mapping[str, Callable[[], Phases]], turns: int
) -> dict[str, dict[str, Timing]]:
    """Run ours and each baseline, turn by turn; a ratio is of two neighbours, and the median is told.

    The first turn warms up and is left out, unless it is so long that this makes no difference.

    Returns:
        By baseline and phase.
    """
    sides = {"": ours, **baselines}
    begin = time.perf_counter()
    first = {name: side() for name, side in sides.items()}
    done = [first] if time.perf_counter() - begin > LONG_S else []
    while len(done) < turns:
        done.append({name: side() for name, side in sides.items()})
    found: dict[str, dict[str, Timing]] = {}
    for name in baselines:
        found[name] = {}
        for phase in done[0][""]:
            one, other = ([turn[side][phase] for turn in done] for side in ("", name))
            ratios = [b / a for a, b in zip(one, other, strict=True)]
            found[name][phase] = Timing(median(one), median(other), median(ratios), min(ratios), max(ratios))
    return found


def clocked(device: torch.device, work: Callable[[], object]) -> float:
    """Seconds that some work takes on a device."""
    begin = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begin


def matmul_rate(device: torch.device, dtype: torch.dtype, seconds: float = 2.0) -> float:
    """FLOP/s of the machine's matrix product, the best of some shapes that layers have."""
    best = 0.0
    shapes = [(512, 768, 3072), (1024, 2048, 2048), (2048, 2048, 2048)]
    if device.type == "cuda":
        shapes = [(1024, 5120, 13_824), (8192, 8192, 8192)]
    for rows, width, out in shapes:
        left = torch.randn(rows, width, device=device, dtype=dtype)
        right = torch.randn(width, out, device=device, dtype=dtype)
        until = time.perf_counter() + seconds / 3
        while time.perf_counter() < until:
            spent = clocked(device, lambda: left @ right)  # noqa: B023
            best = max(best, 2 * rows * width * out / spent)
    return best


def extra_memory(arguments: list[str]) -> int:
    """Bytes that a side needs at its peak beyond what it held before its work, in a process of its own.

    Args:
        arguments: of ``python -m benchmarks.speed``, which ends up in :func:`weigh`.
    """
    command = [sys.executable, "-m", "benchmarks.speed", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return int(done.stdout.split()[-1])


def weigh(device: torch.device, work: Callable[[], object]) -> int:
    """Bytes that some work needs at its peak beyond what is held now."""
    if device.type == "cuda":
        held = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        work()
        return torch.cuda.max_memory_allocated(device) - held
    held = _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    work()
    return _resident("VmHWM") - held


def _resident(name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def machine(device: torch.device) -> str:
    """What it was measured on, in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    info = Path("/proc/cpuinfo").read_text()
    name = re.search(r"model name\s*: (.*)", info)
    return f"{name[1] if name else 'CPU'}, {torch.get_num_threads()} of {os.cpu_count()} cores"
