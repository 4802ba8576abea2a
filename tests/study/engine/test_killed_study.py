"""A study that is killed ten times, with all its workers, ends as one that never was.

The preset is cut down to what takes under a minute; NARROWS_WHOLE_STUDY=1 takes all of it.
"""

import json
import os
import random
import time
from pathlib import Path

from engine_helpers import QUICK, WORLD, journal, plain_summary, study_command

from command_process import CommandProcess
from narrows.study.config import load_study
from narrows.study.plan.build import plan_study

KILLS = 10
WITH_WORKERS = (6,)
"""Kills of a study with two workers, by their numbers; the others have one, which is the study's process."""

WHOLE = bool(os.environ.get("NARROWS_WHOLE_STUDY"))
SHORT = (
    f"models={WORLD}",
    "adapters=[{adapter: steering}]",
    "recipe.steps=6",
    "recipe.warmup=0",
    "recipe.batch_size=4",
    "recipe.learning_rate=0.01",
    "recipe.checkpoint_every=2",
    "kl_weights=[2]",
    "mixtures.fixed=[total]",
    "measure.norm_points=2",
    "measure.max_new_tokens=8",
    "measure.reoptimised_steps=0",
    "measure.neutral_factors=[]",
)
OVERRIDES = () if WHOLE else SHORT
PATIENCE = 600


def command(out: Path, workers: int, *more: str) -> list[str]:
    """The study's run, on no more than two cores."""
    return study_command(QUICK, out, "--workers", workers, *more, overrides=OVERRIDES)


def kill_after(out: Path, said: Path, finished: int, delay: float, workers: int) -> None:
    """Run the study, and kill it with its workers some seconds after so many stages are finished."""
    seen = len(journal(out, "started"))
    study = CommandProcess(command(out, workers, "--quiet"), said)
    study.wait_until(lambda: len(journal(out)) >= finished and len(journal(out, "started")) > seen, PATIENCE)
    time.sleep(delay)
    assert study.kill(), "it ended before it was killed"


def test_a_study_killed_ten_times_ends_as_one_that_never_was(tmp_path: Path):
    untouched = CommandProcess(command(tmp_path / "untouched", 1, "--json"), tmp_path / "said-untouched")
    out, said = tmp_path / "killed", tmp_path / "said"
    stages = plan_study(load_study(QUICK, OVERRIDES)).stages
    draw = random.Random(20)
    moments = sorted(draw.sample(range(int(0.9 * len(stages))), KILLS))
    for number, moment in enumerate(moments):
        kill_after(out, said, moment, draw.random() * 0.5, 2 if number in WITH_WORKERS else 1)
    left = len(stages) - len(set(journal(out)))
    assert left > 0
    last = CommandProcess(command(out, 1, "--json"), said)
    for one in (untouched, last):
        assert one.wait(PATIENCE) == 0, one.stderr
    assert left - KILLS <= json.loads(last.stdout)["done"] <= left
    assert plain_summary(out) == plain_summary(tmp_path / "untouched"), f"killed after {moments} stages"
    finished = journal(out)
    assert len(finished) == len(set(finished)), "a stage was computed twice"
    assert len(stages) - KILLS <= len(finished), "stages are noted, but for one that a kill was quicker than"
    assert len(journal(out, "started")) > len(finished), "no kill met a stage"
    assert not list((out / "work").iterdir())
