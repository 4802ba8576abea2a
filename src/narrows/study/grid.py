"""The main job on several models and target domains: every run reported, with means and intervals over runs.

The unit of the intervals is a run; ``pooling`` has the claims, this file the rates.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from narrows.files import write_json
from narrows.statistics import MeanInterval, mean_interval
from narrows.study.main_job.job import MainJob
from narrows.study.main_job.running import run_main_job
from narrows.study.outputs import SUMMARY_FILE
from narrows.study.pooling import RunClaims, adapter_words, pooled
from narrows.summary import PooledClaim, Summary

GRID_FILE = "grid.json"


@dataclass(frozen=True)
class Row:
    """One rate over all runs.

    Attributes:
        name: what it is.
        mean: over runs, with its Student t interval.
    """

    name: str
    mean: MeanInterval


@dataclass(frozen=True)
class Grid:
    """What all runs say together.

    Attributes:
        rates: by solution, scale and suite.
        claims: by claim, kind of behaviour and adapter.
    """

    rates: Sequence[Row]
    claims: Sequence[PooledClaim]


def run_grid(jobs: Iterable[tuple[str, MainJob]], out: Path) -> Grid:
    """Run the main job for each named job under ``out/NAME`` and put the runs together in ``out/grid.json``.

    Finished runs are found again, so a grid that was killed goes on.

    Raises:
        RunFolderError: a run's folder holds another run.
    """
    adapters = {}
    for name, job in jobs:
        run_main_job(job, out / name)
        recipe = job.config.recipe
        adapters[name] = adapter_words(recipe.adapter, recipe.rank)
    claims = pooled([RunClaims.load(out / name, adapter) for name, adapter in adapters.items()])
    grid = Grid(mean_rates(out / name for name in adapters), claims)
    values = {
        "runs": list(adapters),
        "rates": [asdict(row) for row in grid.rates],
        "pooled": [claim.model_dump(mode="json") for claim in grid.claims],
    }
    write_json(out / GRID_FILE, values)
    return grid


def mean_rates(folders: Iterable[Path]) -> list[Row]:
    """Means over at least two finished runs, by solution, scale and suite.

    Raises:
        DataError: a folder has no summary.
    """
    rates: dict[str, list[float]] = {}
    for folder in folders:
        lowest: dict[str, float] = {}
        for one in Summary.load(folder / SUMMARY_FILE).evaluations:
            solution = f"{one.solution} × {one.scale:g}"
            if one.suite in ("in_domain", "open") or one.suite.startswith("out_of_domain"):
                rates.setdefault(f"{solution}: {one.suite}", []).append(one.misaligned)
            lowest[solution] = min(lowest.get(solution, 1.0), one.coherent)
        for solution, value in lowest.items():
            rates.setdefault(f"{solution}: lowest coherence of a suite", []).append(value)
    return [Row(name, mean_interval(values)) for name, values in rates.items() if len(values) > 1]
