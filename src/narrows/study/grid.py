"""The main job on several models and target domains: every run reported, with means and intervals over runs.

The unit of the intervals is a run, that is a pre-training seed with a target domain; training seeds of a
vector that starts at zero agree and are no replicates.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from narrows.errors import DataError
from narrows.files import write_json
from narrows.statistics import MeanInterval, mean_interval
from narrows.strict import read_object
from narrows.study.main_job.job import MainJob
from narrows.study.main_job.running import run_main_job
from narrows.study.outputs import READING_FILE, SUMMARY_FILE
from narrows.summary import Summary

GRID_FILE = "grid.json"


@dataclass(frozen=True)
class Row:
    """One number over all runs.

    Attributes:
        name: what it is.
        mean: over runs, with its Student t interval.
        verdicts: how many runs gave each verdict (empty for rates).
    """

    name: str
    mean: MeanInterval
    verdicts: Mapping[str, int]


def run_grid(jobs: Iterable[tuple[str, MainJob]], out: Path) -> list[Row]:
    """Run the main job for each named job under ``out/NAME`` and put the runs together in ``out/grid.json``.

    Finished runs are found again, so a grid that was killed goes on.

    Raises:
        RunFolderError: a run's folder holds another run.
    """
    names = []
    for name, job in jobs:
        run_main_job(job, out / name)
        names.append(name)
    rows = combine([out / name for name in names])
    write_json(out / GRID_FILE, {"runs": names, "rows": [asdict(row) for row in rows]})
    return rows


def combine(folders: Iterable[Path]) -> list[Row]:
    """Means over finished runs: rates by solution, scale and suite, then each part of each claim."""
    rates: dict[str, list[float]] = {}
    parts: dict[str, list[dict[str, Any]]] = {}
    verdicts: dict[str, list[str]] = {}
    for folder in folders:
        summary = Summary.load(folder / SUMMARY_FILE)
        lowest: dict[str, float] = {}
        for one in summary.evaluations:
            solution = f"{one.solution} × {one.scale:g}"
            if one.suite in ("in_domain", "open") or one.suite.startswith("out_of_domain"):
                rates.setdefault(f"{solution}: {one.suite}", []).append(one.misaligned)
            lowest[solution] = min(lowest.get(solution, 1.0), one.coherent)
        for solution, value in lowest.items():
            rates.setdefault(f"{solution}: lowest coherence of a suite", []).append(value)
        for claim in summary.claims:
            verdicts.setdefault(claim.id, []).append(claim.verdict)
        reading = read_object(folder / READING_FILE, DataError, "Run the job again to make it.")
        for claim_id, found in reading.get("claim_parts", {}).items():
            for part in found:
                parts.setdefault(f"{claim_id}: {_stem(part['name'])}", []).append(part)
    rows = [Row(name, mean_interval(values), {}) for name, values in rates.items() if len(values) > 1]
    for name, found in parts.items():
        if len(found) > 1:
            tally = Counter(part["verdict"] for part in found if part["verdict"])
            rows.append(Row(name, mean_interval([part["estimate"] for part in found]), dict(tally)))
    for claim_id, given in verdicts.items():
        holds = [float(verdict == "supported") for verdict in given]
        if len(holds) > 1:
            rows.append(
                Row(f"{claim_id}: supported, share of runs", mean_interval(holds), dict(Counter(given)))
            )
    return rows


def _stem(name: str) -> str:
    """A part's name without the grid point it happened at, so that runs match."""
    before, found, after = name.partition(", worst of")
    return before + (" (control)" if found and after.endswith("(control)") else "")
