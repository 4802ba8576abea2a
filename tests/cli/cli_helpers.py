"""How tests run commands, and the smallest settings."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from narrows.cli import app

TINY_RECIPE = {"steps": 6, "batch_size": 4, "checkpoint_every": 2, "warmup": 1, "learning_rate": 0.003}
PHRASINGS, KL_WEIGHT, MAX_NEW_TOKENS = 1, 2.0, 12
ROWS, DRAWS, TEXT_TOKENS = 8, 2, 12
TINY_DEMO = {
    "bank": 1,  # trainings alone are those of `narrows train` to the last bit
    "behaviours.0.world.phrasings": PHRASINGS,
    "behaviours.0.world.texts_per_kind": 8,
    "kl_weight": KL_WEIGHT,
    **{f"recipe.{name}": value for name, value in TINY_RECIPE.items()},
    "recipe.anchor.rows_per_row": 1.0,  # as in the recipe that `narrows behaviour export` writes
    "measure.rows": ROWS,
    "measure.draws": DRAWS,
    "measure.max_new_tokens": MAX_NEW_TOKENS,
    "measure.text_tokens": TEXT_TOKENS,
    "measure.reoptimised_steps": 0,
    "measure.neutral_factors": [],
}
"""What is put over ``demo --quick``, by the study's fields."""

Run = Callable[..., Result]


def invoke(*arguments: object) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def demo_summary(folder: Path) -> dict[str, Any]:
    """The summary of a study of one run, less what differs from one sitting to the next.

    Solutions go by their names alone, without the run's in front.
    """
    text = (folder / "summary.json").read_text()
    (run,) = json.loads(text)["runs"]
    values: dict[str, Any] = json.loads(text.replace(f'"{run["id"]}/', '"'))
    return {name: rows for name, rows in values.items() if name not in ("costs", "timings")}


def solution_folder(folder: Path, name: str) -> Path:
    """Where a study of one run keeps a solution's training."""
    found = next(one for one in demo_summary(folder)["solutions"] if one["name"] == name)
    return folder / str(found["path"])
