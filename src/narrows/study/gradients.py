"""C8 on one model and behaviour: one run is followed, and other runs' ends are what its gradient is held to.

The ends come from runs that read the rows in another order, so that the gradient is not compared with where
it itself led. A LoRA's other runs start from the followed run's own first A: only then do their B mean the
same. The controls are the ends of runs in another domain.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field

from narrows.adapters import Adapter
from narrows.configuration import Configuration
from narrows.evaluation import Behaviour
from narrows.files import claim_run_folder, digest, write_json
from narrows.metrics import GradientCosines, GradientSample, gradient_cosines
from narrows.metrics.gradients import EVERY
from narrows.models import ChatModel
from narrows.study import summarising
from narrows.study.claims.geometry import GENERAL, GENERAL_ELSEWHERE, NARROW, NARROW_ELSEWHERE, c8
from narrows.study.outputs import READING_FILE, SUMMARY_FILE
from narrows.summary import Gradient, Summary
from narrows.training import Recipe, TrainingRun, train

FOLLOWED = "followed"

Train = Callable[[str, Recipe, Adapter | None], TrainingRun]
"""Trains by name and recipe from an adapter (None: from nothing)."""


class GradientConfig(Configuration):
    """How C8 is measured."""

    recipe: Recipe = Recipe()
    kl_weight: float = Field(gt=0, description="λ of the narrow solution, nats per token")
    every: int = Field(EVERY, ge=1, description="steps between two gradients")
    groups: int = Field(8, ge=2, description="disjoint groups of training rows, each with a gradient")
    rows: int = Field(16, ge=1, description="rows of a group")
    seed: int = Field(0, ge=0, description="draws the groups")

    @property
    def sample(self) -> GradientSample:
        """Where gradients are taken, and on how many rows."""
        return GradientSample(self.every, self.groups, self.rows, self.seed)


@dataclass(frozen=True)
class GradientJob:
    """What C8 is measured on.

    Attributes:
        chat_model: the model.
        behaviour: what the followed run learns.
        config: how.
        elsewhere: the same in another domain, for the controls; None leaves them out.
        about: reading matter for the report.
    """

    chat_model: ChatModel
    behaviour: Behaviour
    config: GradientConfig
    elsewhere: Behaviour | None = None
    about: Mapping[str, Any] = field(default_factory=dict)


def run_gradients(job: GradientJob, out: Path | str) -> Summary:
    """Train, follow the unanchored run's gradient, and hold C8 to its rule.

    Everything finished is kept in ``out`` and found again. Written there: ``summary.json`` (``gradients`` and
    the claim), ``report.json`` (its parts, the controls among them), a folder for each training.

    Raises:
        RunFolderError: ``out`` holds another run.
        DataError: there are too few training rows for the groups.
    """
    out = claim_run_folder(Path(out), _identity(job))
    if (out / SUMMARY_FILE).exists():
        return Summary.load(out / SUMMARY_FILE)
    trained = _trainings(job, out, job.behaviour)
    followed = trained(FOLLOWED, job.config.recipe.with_anchor(0.0), None)
    ends = other_ends(trained, (GENERAL, NARROW), followed, job.config.kl_weight)
    if job.elsewhere is not None:
        trained = _trainings(job, out, job.elsewhere)
        ends |= other_ends(trained, (GENERAL_ELSEWHERE, NARROW_ELSEWHERE), followed, job.config.kl_weight)
    found = gradient_cosines(
        job.chat_model,
        followed.trajectory,
        job.behaviour.train,
        followed.recipe,
        ends,
        sample=job.config.sample,
    )
    result = c8(found)
    summary = Summary(
        models=[summarising.model_row(job.chat_model)],
        behaviours=[summarising.behaviour_row(job.behaviour)],
        gradients=gradient_rows(FOLLOWED, found),
        claims=[result.as_claim(job.chat_model.id, job.behaviour.id)],
    )
    reading = {
        **job.about,
        "claim_parts": {result.id: [part.as_reading() for part in result.parts]},
        "config": job.config.model_dump(mode="json"),
        "versions": summarising.versions(),
        "notes": _notes(found),
    }
    write_json(out / READING_FILE, reading)
    summary.save(out / SUMMARY_FILE)
    return summary


def _trainings(job: GradientJob, out: Path, behaviour: Behaviour) -> Train:
    """How one behaviour is trained; each training has a folder of its own."""

    def run(name: str, recipe: Recipe, start: Adapter | None) -> TrainingRun:
        return train(
            job.chat_model,
            behaviour.train,
            recipe,
            anchor=behaviour.anchor,
            start=start,
            out=out / name,
            name=f"training {name}",
        )

    return run


def gradient_rows(run: str, found: GradientCosines) -> list[Gradient]:
    """The rows of ``summary.json``, one for each checkpoint; intervals over row groups."""
    general, narrow = (found.at_steps(name) for name in (GENERAL, NARROW))
    return [
        Gradient(
            run=run,
            step=step,
            cos_general=left.mean,
            cos_narrow=right.mean,
            cos_general_ci95=(left.low, left.high),
            cos_narrow_ci95=(right.low, right.high),
        )
        for step, left, right in zip(found.steps, general, narrow, strict=True)
    ]


def other_ends(
    trained: Train, names: tuple[str, ...], followed: TrainingRun, kl_weight: float
) -> dict[str, Adapter]:
    """The general and the narrow end of runs in another order of the rows."""
    recipe = followed.recipe.model_copy(update={"seed": followed.recipe.seed + 1})
    # A LoRA begins with the followed run's A; a vector begins at 0 anyway.
    start = followed.trajectory[0] if followed.adapter.kind == "lora" else None
    general, narrow = names
    return {
        general: trained(general, recipe.with_anchor(0.0), start).adapter,
        narrow: trained(narrow, recipe.with_anchor(kl_weight), start).adapter,
    }


def _identity(job: GradientJob) -> dict[str, Any]:
    """Everything that determines the result."""

    def of(behaviour: Behaviour | None) -> dict[str, str] | None:
        if behaviour is None:
            return None
        train, anchor = (
            digest([row.to_json() for row in some]) for some in (behaviour.train, behaviour.anchor)
        )
        return {"id": behaviour.id, "train": train, "anchor": anchor}

    return {
        "kind": "gradients",
        "model": {"id": job.chat_model.id, "template": job.chat_model.renderer.template_hash},
        "behaviour": of(job.behaviour),
        "elsewhere": of(job.elsewhere),
        "config": job.config.model_dump(mode="json"),
    }


def _notes(found: GradientCosines) -> list[str]:
    """What a reader of the cosines must know."""
    groups = found.norms.shape[1]
    notes = [
        f"Cosines are of −∇L on {groups} disjoint groups of training rows with the ends of other runs. A "
        f"random direction's mean over training lies within ± {found.random_band():.3f} in 95 % of cases; no "
        f"direction's passes {found.resultant:.3f}."
    ]
    if found.frames:
        frames = ", ".join(f"{name} {value:.2f}" for name, value in found.frames.items())
        notes.append(
            f"Cosine of each LoRA's A with the followed run's, without which B means little: {frames}."
        )
    return notes
