"""One report, written once for all tests of this folder."""

from pathlib import Path

import pytest
from synthetic_run import synthetic_reading, synthetic_summary, write_run

from narrows.report import write_report


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the synthetic run, its figures beside it."""
    return write_report(write_run(tmp_path_factory.mktemp("run"), synthetic_summary(), synthetic_reading()))
