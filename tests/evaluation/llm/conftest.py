"""Inspect's own command line, run offline on this checkout whatever was installed when."""

import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
DEAD = "http://127.0.0.1:9"  # nothing listens there


@pytest.fixture(scope="session")
def inspect_env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which the package is installed as pyproject.toml says, and there is no network."""
    folder = tmp_path_factory.mktemp("site")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    installed = folder / f"narrows-{project['version']}.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: narrows\nVersion: {project['version']}\n"
    )
    entries = project["entry-points"]["inspect_ai"].items()
    (installed / "entry_points.txt").write_text(
        "[inspect_ai]\n" + "".join(f"{name} = {place}\n" for name, place in entries)
    )
    (installed / "direct_url.json").write_text(
        f'{{"dir_info": {{"editable": true}}, "url": "file://{ROOT}"}}'
    )
    offline = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"), DEAD)
    path = {"PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}
    return dict(os.environ) | offline | proxies | path | {"TIKTOKEN_CACHE_DIR": str(folder / "none")}


@pytest.fixture
def inspect_eval(inspect_env: dict[str, str], tmp_path: Path) -> Callable[..., str]:
    """Runs ``inspect eval`` in an empty folder, with variables of its own; returns the path of its log."""

    def run(*arguments: object, **environment: str) -> str:
        command = [sys.executable, "-m", "inspect_ai._cli.main", "eval", *map(str, arguments)]
        done = subprocess.run(
            [*command, "--display", "plain", "--log-dir", str(tmp_path / "logs")],
            env=inspect_env | environment, cwd=tmp_path, capture_output=True, text=True, timeout=180,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        logs = list((tmp_path / "logs").glob("*.eval"))
        assert len(logs) == 1, done.stdout + done.stderr
        return str(logs[0])

    return run
