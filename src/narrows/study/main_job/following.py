"""The main job's unanchored run, followed by its loss gradient (C8)."""

from narrows.adapters import Adapter
from narrows.metrics import GradientCosines, GradientSample, gradient_cosines
from narrows.study.claims.geometry import GENERAL, NARROW
from narrows.study.gradients import other_ends
from narrows.study.main_job.job import MainJob
from narrows.study.main_job.solutions import Trainer
from narrows.training import Recipe, TrainingRun


def gradients_of_main_job(job: MainJob, trainer: Trainer) -> GradientCosines:
    """Follow the main job's unanchored run; the two ends are trained in its folder.

    Raises:
        DataError: there are too few training rows for the groups.
    """
    followed = trainer.runs["unanchored"]
    names = {"unanchored-other-order": GENERAL, "anchored-other-order": NARROW}

    def trained(name: str, recipe: Recipe, start: Adapter | None) -> TrainingRun:
        trainer.run(name, recipe, start=start)
        return trainer.runs[name]

    ends = other_ends(trained, tuple(names), followed, trainer.anchored.anchor.weight)
    return gradient_cosines(
        job.chat_model,
        followed.trajectory,
        job.behaviour.train,
        followed.recipe,
        {names[name]: end for name, end in ends.items()},
        sample=GradientSample(seed=job.config.seed),
    )
