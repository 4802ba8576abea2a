"""A family of worlds: its models pre-trained, the same study done on each of them, and what came out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import ValidationError

from narrows.errors import ConfigError
from narrows.files import claim_run_folder, write_json, write_text
from narrows.microworld.family import Family
from narrows.packaged import packaged_text
from narrows.strict import merged
from narrows.study.config import StudyConfig
from narrows.study.config.faults import faults
from narrows.study.plan.build import Plan
from narrows.study.results.run import RunResults
from narrows.study.stages.bench import Bench
from narrows.study.store import Store
from narrows.study.worlds.models import WorldModel, models_of
from narrows.study.worlds.results import FamilyResults
from narrows.study.worlds.row import row_of

MODELS, PRETRAINING, STUDY = "models", "pretraining", "study"
"""Folders of a family: its models, what their pre-trainings took, and the study."""

RESULTS_FILE = "worlds.json"
FAMILY_FILE = "family.yaml"


@dataclass(frozen=True)
class FamilyRun:
    """A family in its folder.

    Attributes:
        family: the worlds.
        folder: where everything is.
        models: those that are wanted.
    """

    family: Family
    folder: Path
    models: Sequence[WorldModel]

    @classmethod
    def opened(cls, family: Family, folder: Path, only: Sequence[str] = ()) -> "FamilyRun":
        """A family in a folder of its own, which is made, or gone on with.

        Args:
            family: the worlds.
            folder: of this family alone; it may hold results of an earlier form of it.
            only: names of worlds; empty is all.

        Raises:
            ConfigError: a name is none of the family's worlds, or its study is wrong.
            RunFolderError: the folder holds something else.
        """
        models = models_of(family, folder / MODELS, only)
        run = cls(family, folder, models)
        run.study([model for model in models if model.finished] or models)  # refused now, if it is wrong
        claim_run_folder(folder, {"kind": "worlds", "family": family.name})
        text = yaml.safe_dump(family.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
        write_text(folder / FAMILY_FILE, text)
        return run

    @property
    def store(self) -> Store:
        """What the pre-trainings took, and their logs."""
        return Store(self.folder / PRETRAINING)

    @property
    def finished(self) -> list[WorldModel]:
        """The models that are pre-trained."""
        return [model for model in self.models if model.finished]

    def study(self, models: Iterable[WorldModel]) -> StudyConfig:
        """The study of some models and their snapshots.

        Raises:
            ConfigError: a field of the family's ``study`` is unknown or its value wrong.
        """
        values = merged(yaml.safe_load(packaged_text("narrows.study.worlds", "study")), self.family.study)
        world = {**values.pop("behaviour"), "domains": list(self.family.targets)}
        labels = {label: folder for model in models for label, (_, folder) in model.checkpoints.items()}
        values |= {
            "name": self.family.name,
            "title": f"Worlds of the family {self.family.name}",
            "models": [
                {"name": str(folder), "label": label.replace(".", "-")} for label, folder in labels.items()
            ],
            "behaviours": [{"world": world}],
        }
        try:
            return StudyConfig.model_validate(values)
        except ValidationError as error:
            raise ConfigError(f"{self.family.name}, study: {faults(StudyConfig, error)}") from error

    def gathered(self, plan: Plan, store: Store) -> FamilyResults:
        """The numbers of all runs that are decided, in the family's order; also written to ``worlds.json``.

        Args:
            plan: of the study.
            store: its results.
        """
        known = {
            str(folder): (model, step) for model in self.models for step, folder in model.checkpoints.values()
        }
        bench, rows = Bench(plan.config, store), []
        for run in plan.runs:
            stage = plan.stages[plan.decided[run.id]]
            if store.finished(stage.id):
                rows.append(row_of(*known[run.model.name], RunResults(stage, bench)))
        found = FamilyResults.of(self.family.name, self.models[0].config.pretraining.steps, rows)
        write_json(self.folder / RESULTS_FILE, found.as_json())
        return found
