"""Putting the stages of one run into a plan: trainings, and what is asked of them."""

from collections.abc import Sequence
from typing import Any

from narrows.study.config import StudyConfig
from narrows.study.config.runs import BehaviourSpec, RunSpec
from narrows.study.materials import Material, material_of
from narrows.study.materials.checks import check_enough
from narrows.study.plan.stage import Kind, Stage
from narrows.study.plan.trainings import CHOSEN, Training, training_stage


class RunStages:
    """The stages of a run, as far as they are planned.

    Args:
        config: the study.
        run: the run.
        runs: all runs of the study: those of other domains are controls.
        model: the model's fingerprint.
        stages: the plan's stages, added to.
    """

    def __init__(
        self, config: StudyConfig, run: RunSpec, runs: Sequence[RunSpec], model: str, stages: dict[str, Stage]
    ) -> None:
        self.config, self.run, self.measure = config, run, config.measure
        self._runs, self._model, self._stages = runs, model, stages
        self._material = self._material_of(run.behaviour)
        check_enough(self._material, config, run)
        self._choice: str | None = None
        self._solutions: dict[str, str] = {}
        self._verdicts: dict[str, str] = {}

    def _train(self, wanted: Training, *, shown: bool = True, behaviour: BehaviourSpec | None = None) -> str:
        """Add a training; ``shown`` ones are solutions of the run."""
        material = self._material if behaviour is None else self._material_of(behaviour)
        stage = training_stage(self.run, material, self._model, wanted, self._choice)
        self._stages.setdefault(stage.id, stage)
        if shown:
            self._solutions[wanted.name] = stage.id
        return stage.id

    def _asked(
        self,
        name: str,
        adapter: str | None,
        scale: float = 1.0,
        *,
        split: str = "test",
        shown: bool = True,
        behaviour: BehaviourSpec | None = None,
    ) -> str:
        """Add answers and their verdicts; returns the verdicts' stage."""
        material = self._material if behaviour is None else self._material_of(behaviour)
        measure, where = self.measure, "" if scale == 1 else f" at {scale:g} ×"
        settings = {
            "model": self._model,
            "questions": material.test if split == "test" else material.validation,
            "scale": scale,
            "samples": measure.samples,
            "max_new_tokens": measure.max_new_tokens,
            "temperature": measure.temperature,
            "seed": self.config.measure_seed,
        }
        title = f"{name}{where}" + (", validation" if split != "test" else "")
        inputs = {} if adapter is None else {"adapter": adapter}
        answers = self._add(
            "answers", f"answers of {title}", inputs, settings, source={"split": split}, material=material
        )
        verdicts = self._add(
            "verdicts",
            f"verdicts on {title}",
            {"answers": answers},
            {"judge": material.judge_identity},
            material=material,
        )
        if shown:
            self._verdicts[f"{name}@{scale:g}"] = verdicts
        return verdicts

    @property
    def _weight(self) -> float | dict[str, float]:
        """The λ that the claims are about, for further trainings."""
        return CHOSEN if self.run.kl_weight is None else self.run.kl_weight

    def _material_of(self, behaviour: BehaviourSpec) -> Material:
        return material_of(behaviour, self.run.model, self.config.good_per_bad)

    @property
    def _judge(self) -> str:
        return self._material.judge_identity

    def _add(
        self,
        kind: Kind,
        title: str,
        inputs: dict[str, str],
        settings: dict[str, Any],
        *,
        source: dict[str, Any] | None = None,
        material: Material | None = None,
    ) -> str:
        """Add a stage to the plan, unless another run has it already."""
        stage = Stage(
            kind=kind,
            title=f"{title} · {self.run.id}",
            run=self.run.id,
            model=self.run.model.name,
            behaviour=(material or self._material).behaviour.id,
            settings=settings,
            inputs=inputs,
            source=source or {},
        )
        self._stages.setdefault(stage.id, stage)
        return stage.id
