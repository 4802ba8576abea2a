"""How tests run commands, and the smallest settings."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from narrows.cli import app

TINY_RECIPE = {"steps": 6, "batch_size": 4, "checkpoint_every": 2, "warmup": 1, "learning_rate": 0.003}
TINY_JOB = {
    "recipe": TINY_RECIPE,
    "kl_weight": 2.0,
    "rows": 8,
    "draws": 2,
    "scales": [1.0],
    "max_new_tokens": 12,
    "text_tokens": 12,
    "control_steps": 2,
    "reoptimised_steps": 0,
    "neutral_trials": 0,
}

Run = Callable[..., Result]


def invoke(*arguments: object) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def summary_without_timings(folder: Path) -> dict[str, Any]:
    """A run's summary, less what differs from one sitting to the next."""
    values: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    del values["timings"]
    return values
