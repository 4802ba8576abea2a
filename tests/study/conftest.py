"""A finished study over files of one's own, which several tests read."""

import shutil
from pathlib import Path

import pytest
from own_behaviour import OwnRun, own_study, run, verdict, write_own

from judge_server import serving


@pytest.fixture(scope="session")
def own_run(tmp_path_factory: pytest.TempPathFactory) -> OwnRun:
    """The guide's study, small, on microworld:1 with a judge behind a real server; tests only read it."""
    root = tmp_path_factory.mktemp("own")
    file = write_own(root / "folder")
    with serving(verdict) as server:
        config = own_study(file, server.url)
        plan, outcome = run(config, root / "out")
    return OwnRun(file, root / "out", config, plan, outcome)


@pytest.fixture
def copied(own_run: OwnRun, tmp_path: Path) -> Path:
    """That study's folder, for a test to change."""
    return Path(shutil.copytree(own_run.out, tmp_path / "out"))
