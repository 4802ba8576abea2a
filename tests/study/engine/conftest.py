"""A finished study that several tests look at, and copies of it for those that change it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from engine_helpers import QUICK, TINY
from typer.testing import CliRunner, Result

from narrows.cli import app

Command = Callable[..., Result]


def flags(*more: str) -> list[str]:
    """The tiny study and its overrides, as arguments."""
    return [QUICK, *(part for one in (*TINY, *more) for part in ("--set", one))]


@pytest.fixture(scope="session")
def command() -> Command:
    """Runs ``narrows study`` on the tiny study in this process: a command, its own arguments, overrides."""

    def run(name: str, *arguments: object, overrides: tuple[str, ...] = (), code: int = 0) -> Result:
        file, *rest = flags(*overrides)
        result = CliRunner().invoke(app, ["study", name, file, *map(str, arguments), *rest])
        assert result.exit_code == code, result.output
        return result

    return run


@pytest.fixture(scope="session")
def finished(command: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the tiny study, finished; tests read it only."""
    out = tmp_path_factory.mktemp("study") / "tiny"
    command("run", "--out", out, "--workers", 1, "--quiet")
    return out


@pytest.fixture
def begun(finished: Path, tmp_path: Path) -> Callable[..., Path]:
    """Makes a copy of the finished study in which some kinds of stages are still to be done."""

    def without(*kinds: str) -> Path:
        out = tmp_path / "begun"
        shutil.copytree(finished, out)
        for folder in (out / "stages").iterdir():
            if folder.name.rpartition("-")[0] in kinds:
                shutil.rmtree(folder)
        for name in ("summary.json", "report.json", "report.html", "journal.jsonl"):
            (out / name).unlink()
        return out

    return without
