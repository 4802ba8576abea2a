"""One report of a run and one of a study, each written once for all tests of this folder."""

from pathlib import Path

import pytest
from synthetic_run import synthetic_reading, synthetic_summary, write_run
from synthetic_study import study_reading, synthetic_study

from narrows.report import write_report


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the synthetic run, its figures beside it."""
    return write_report(write_run(tmp_path_factory.mktemp("run"), synthetic_summary(), synthetic_reading()))


@pytest.fixture(scope="session")
def study_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a synthetic study: two kinds of behaviour, two adapters, a few of the measurements."""
    summary = synthetic_study(2, 1, adapters=("steering", "rank-1"))
    few = {"stability": [], "significance": [], "gradients": [], "interventions": [], "mitigations": []}
    few |= {"efficiency": [row for row in summary.efficiency if "technical" not in row.solution]}
    few |= {"evaluations": [row for row in summary.evaluations if row.scale == 1]}
    few |= {"trajectories": summary.trajectories[:1]}
    folder = tmp_path_factory.mktemp("study")
    return write_report(write_run(folder, summary.model_copy(update=few), study_reading()))
