"""Finished runs of commands that several tests read, on settings as small as they can be."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from cli_helpers import MAX_NEW_TOKENS, PHRASINGS, TINY_DEMO, TINY_RECIPE, Run, invoke
from typer.testing import Result


@pytest.fixture(scope="session")
def run() -> Run:
    """Runs a command that must succeed."""

    def checked(*arguments: object) -> Result:
        result = invoke(*arguments)
        assert result.exit_code == 0, result.output
        return result

    return checked


@pytest.fixture(scope="session")
def run_json(run: Run) -> Callable[..., Any]:
    """Runs a command with ``--json`` and reads its stdout, which must hold nothing else."""
    return lambda *arguments: json.loads(run(*arguments, "--json").stdout)


@pytest.fixture(scope="session")
def tiny_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration for ``tune --quick``."""
    path = tmp_path_factory.mktemp("config") / "tiny.yaml"
    path.write_text(yaml.safe_dump({"recipe": TINY_RECIPE, "max_new_tokens": MAX_NEW_TOKENS}))
    return path


@pytest.fixture(scope="session")
def demo_command() -> tuple[object, ...]:
    """The demo in its smallest form, without ``--out``."""
    sizes = [part for name, value in TINY_DEMO.items() for part in ("--set", f"{name}={value}")]
    return ("demo", "--model", "1", "--domain", "garden", "--quick", "--workers", 1, *sizes)


@pytest.fixture(scope="session")
def demo_run(run: Run, demo_command: tuple[object, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished demo; tests read it only."""
    out = tmp_path_factory.mktemp("demo") / "run"
    run(*demo_command, "--out", out)
    return out


@pytest.fixture(scope="session")
def task(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's behaviour as files."""
    out = tmp_path_factory.mktemp("behaviour") / "garden"
    run("behaviour", "export", "--model", "1", "--domain", "garden", "--phrasings", PHRASINGS, "--out", out)
    return out
