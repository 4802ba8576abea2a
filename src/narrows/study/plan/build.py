"""From a study file to its plan: every stage of every run, shared ones once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from narrows.study.config import StudyConfig
from narrows.study.config.runs import RunSpec, runs_of
from narrows.study.materials import fingerprint
from narrows.study.plan.run_plan import RunPlanner
from narrows.study.plan.stage import Stage


@dataclass(frozen=True)
class Plan:
    """All stages of a study.

    Attributes:
        config: the effective study file.
        runs: what the lists of the file expand to.
        stages: by id, each after its inputs.
        decided: the stage of each run in which its claims are decided, by the run's id.
    """

    config: StudyConfig
    runs: list[RunSpec]
    stages: Mapping[str, Stage]
    decided: Mapping[str, str]

    @property
    def facts(self) -> dict[str, Any]:
        """The plan as a file holds it."""
        return {
            "study": self.config.name,
            "decided": dict(self.decided),
            "stages": [stage.as_json() for stage in self.stages.values()],
        }


def plan_study(config: StudyConfig) -> Plan:
    """Plan a study; models are looked at by their files, and not loaded.

    Raises:
        ConfigError: runs of the same name, or a behaviour that its model cannot have.
        DataError: a behaviour's file is missing or malformed.
        ModelError: a model is not to be found.
    """
    runs = runs_of(config)
    models = {run.model.name: fingerprint(run.model) for run in runs}
    stages: dict[str, Stage] = {}
    decided = {}
    for run in runs:
        planner = RunPlanner(config, run, runs, models[run.model.name], stages)
        decided[run.id] = planner.plan()
    return Plan(config, runs, stages, decided)
