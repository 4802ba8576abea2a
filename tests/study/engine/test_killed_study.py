"""A study that is killed ten times, with all its workers, ends as one that never was.

The preset is cut down to what takes under a minute; NARROWS_WHOLE_STUDY=1 takes all of it.
"""

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from engine_helpers import QUICK, WORLD, journal, plain_summary, run_in_a_group, study_command

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


def killed_after(out: Path, finished: int, delay: float, workers: int) -> bool:
    """Run the study, and kill it some seconds after so many stages are finished; False if it ended before."""
    context = multiprocessing.get_context("forkserver")  # imports once, in a process without pytest
    context.set_forkserver_preload(["narrows.cli", "narrows.report", "narrows.study.execution.running"])
    arguments = study_command(QUICK, out, "--workers", workers, "--quiet", overrides=OVERRIDES)
    seen = len(journal(out, "started"))
    study = context.Process(target=run_in_a_group, args=(arguments,))
    study.start()
    assert study.pid is not None
    until = time.monotonic() + PATIENCE
    while (len(journal(out)) < finished or len(journal(out, "started")) == seen) and study.is_alive():
        assert time.monotonic() < until, "it does not get on"
        time.sleep(0.005)
    time.sleep(delay)
    alive = study.is_alive()
    if alive:
        assert os.getpgid(study.pid) == study.pid
        os.killpg(study.pid, signal.SIGKILL)
    study.join()
    return alive


def test_a_study_killed_ten_times_ends_as_one_that_never_was(tmp_path: Path):
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    os.environ["OMP_NUM_THREADS"] = "1"  # all compute in one thread: in another number they round otherwise

    def whole(out: Path) -> "subprocess.Popen[str]":
        arguments = study_command(QUICK, out, "--workers", 1, "--json", overrides=OVERRIDES)
        command = [sys.executable, "-m", "narrows", *arguments]
        return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    untouched, out = whole(tmp_path / "untouched"), tmp_path / "killed"
    stages = plan_study(load_study(QUICK, OVERRIDES)).stages
    draw = random.Random(20)
    moments = sorted(draw.sample(range(int(0.9 * len(stages))), KILLS))
    for number, moment in enumerate(moments):
        workers = 2 if number in WITH_WORKERS else 1
        assert killed_after(out, moment, draw.random() * 0.5, workers), "it ended before it was killed"
    left = len(stages) - len(set(journal(out)))
    assert left > 0
    last = whole(out)
    for one in (untouched, last):
        stdout, stderr = one.communicate(timeout=PATIENCE)
        assert one.returncode == 0, stderr
    assert left - KILLS <= json.loads(stdout)["done"] <= left
    assert plain_summary(out) == plain_summary(tmp_path / "untouched"), f"killed after {moments} stages"
    finished = journal(out)
    assert len(finished) == len(set(finished)), "a stage was computed twice"
    assert len(stages) - KILLS <= len(finished), "stages are noted, but for one that a kill was quicker than"
    assert len(journal(out, "started")) > len(finished), "no kill met a stage"
    assert not list((out / "work").iterdir())
