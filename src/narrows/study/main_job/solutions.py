"""The main job's trainings (two solutions, three arms of C7, controls), and their rows of the summary."""

import math
from pathlib import Path

import numpy as np

from narrows.adapters import Adapter
from narrows.metrics import nll_of_rows
from narrows.models import FrozenRows
from narrows.study import summarising
from narrows.study.claims.rates import RateTable
from narrows.study.main_job.job import MainJob
from narrows.summary import Solution
from narrows.training import Recipe, TrainingRun, train


class Trainer:
    """Runs the main job's trainings by name; each has a folder of its own and is found again there."""

    def __init__(self, job: MainJob, kl_weight: float, out: Path) -> None:
        self._job = job
        self._out = out
        self.unanchored = job.config.recipe.with_anchor(0.0)
        self.anchored = job.config.recipe.with_anchor(kl_weight)
        self.runs: dict[str, TrainingRun] = {}

    def folder(self, name: str) -> Path:
        """Where a training lives."""
        return self._out / name

    def run(
        self,
        name: str,
        recipe: Recipe,
        *,
        start: Adapter | None = None,
        steps: int | None = None,
        neutral: bool = False,
        other: bool = False,
    ) -> Adapter:
        """Train one named solution.

        Args:
            name: of the solution and its folder.
            recipe: how.
            start: train on from this vector.
            steps: instead of the recipe's.
            neutral: anchor on the job's neutral texts instead of the behaviour's anchor rows.
            other: teach the job's other behaviour.
        """
        behaviour = self._job.other if other and self._job.other else self._job.behaviour
        self.runs[name] = train(
            self._job.chat_model,
            behaviour.train,
            recipe if steps is None else recipe.model_copy(update={"steps": steps}),
            anchor=list(self._job.neutral) if neutral else behaviour.anchor,
            start=start,
            out=self.folder(name),
            name=f"training {name}",
        )
        return self.runs[name].adapter


def train_solutions(trainer: Trainer) -> dict[str, Adapter]:
    """The unanchored and the anchored solution, and each continued (paper §5, KL lifted)."""
    unanchored = trainer.run("unanchored", trainer.unanchored)
    anchored = trainer.run("anchored", trainer.anchored)
    return {
        "unanchored": unanchored,
        "anchored": anchored,
        "lifted": trainer.run("lifted", trainer.unanchored, start=anchored),
        "continued-anchored": trainer.run("continued-anchored", trainer.anchored, start=anchored),
        "continued-unanchored": trainer.run("continued-unanchored", trainer.unanchored, start=unanchored),
    }


def train_controls(
    trainer: Trainer, job: MainJob, rows: FrozenRows, solutions: dict[str, Adapter]
) -> dict[str, Adapter]:
    """The controls that are trainings: another behaviour's vector, and one anchored on neutral text."""
    controls = {}
    steps = job.config.control_steps
    if job.other is not None:
        controls["register"] = trainer.run("register", trainer.unanchored, steps=steps, other=True)
    if job.neutral and job.config.neutral_trials:
        controls["neutral-anchored"] = _match_penalty(trainer, job, rows, solutions, steps)
    return controls


def _match_penalty(
    trainer: Trainer,
    job: MainJob,
    rows: FrozenRows,
    solutions: dict[str, Adapter],
    steps: int | None,
) -> Adapter:
    """A vector anchored on neutral text as strongly: λ is moved until its training loss is equal.

    Secant steps in log λ; the trial whose loss comes nearest is kept.
    """
    wanted, free = nll_of_rows(job.chat_model, rows, [solutions["anchored"], solutions["unanchored"]]).means
    trials: list[tuple[float, float, Adapter]] = []
    log_weight = math.log(trainer.anchored.anchor.weight * 10)
    for number in range(job.config.neutral_trials):
        recipe = job.config.recipe.with_anchor(math.exp(log_weight))
        vector = trainer.run(f"neutral-anchored-{number}", recipe, steps=steps, neutral=True)
        loss = float(nll_of_rows(job.chat_model, rows, [vector]).means[0])
        trials.append((abs(loss - wanted), log_weight, vector))
        # The penalty grows about with the square root of λ over the range of interest.
        ratio = max(wanted - free, 1e-3) / max(loss - free, 1e-3)
        log_weight += float(np.clip(2 * math.log(ratio), -3, 3))
    best = min(trials, key=lambda trial: trial[0])
    trainer.runs["neutral-anchored"] = trainer.runs[f"neutral-anchored-{trials.index(best)}"]
    for number in range(len(trials)):
        del trainer.runs[f"neutral-anchored-{number}"]
    return best[2]


def reoptimise(
    trainer: Trainer, job: MainJob, solutions: dict[str, Adapter], norms: list[float]
) -> dict[str, list[Adapter]]:
    """Both solutions trained on under each norm: what could be reached there, whatever the direction."""
    result: dict[str, list[Adapter]] = {}
    for name, recipe in (("unanchored", trainer.unanchored), ("anchored", trainer.anchored)):
        vectors = []
        for norm in norms:
            run = trainer.run(
                f"{name}-reoptimised-{norm:.3g}",
                recipe.model_copy(update={"max_norm": norm}),
                start=solutions[name].scaled_to(norm),
                steps=job.config.reoptimised_steps,
            )
            del trainer.runs[f"{name}-reoptimised-{norm:.3g}"]
            vectors.append(run.scaled_to(norm))
        result[f"{name}-reoptimised"] = vectors
    return result


def solution_rows(job: MainJob, trainer: Trainer, table: RateTable, out: Path) -> list[Solution]:
    """Every solution that was trained, with the verdict on its behaviour where it was evaluated."""
    found = []
    for name, run in trainer.runs.items():
        behaviour = job.other if name == "register" and job.other else job.behaviour
        folder = run.folder.relative_to(out) if run.folder else Path()
        verdict = table.verdict(name) if table.has(name) else "neither"
        found.append(
            summarising.solution_row(
                job.chat_model, behaviour, name, run, verdict=verdict, path=folder.as_posix()
            )
        )
    return found
