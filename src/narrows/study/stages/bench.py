"""What the stages work with: models, materials, and the results of the stages before."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging as transformers_logging

from narrows.adapters import Adapter, load_adapter, self_check
from narrows.chat import Renderer
from narrows.errors import DataError
from narrows.geometry import read_trajectory
from narrows.models import ChatModel, load_chat_model
from narrows.strict import read_object
from narrows.study.config import ModelEntry, StudyConfig
from narrows.study.config.runs import BehaviourSpec, behaviours_and_controls
from narrows.study.materials import Material, material_of
from narrows.study.materials.models import checkpoint, revision_of
from narrows.study.plan.stage import Stage
from narrows.study.store import Store

TRAINING = "training"
"""The run's folder in the result of a training."""

CHOICE_FILE = "choice.json"
MODEL_FILE = "model.json"
"""What a model is, beside its answers: its row of the summary."""


@dataclass(frozen=True)
class Done:
    """What a stage took beside time.

    Attributes:
        tokens: read or written; None if they were not counted.
        trainings: how many were done.
    """

    tokens: int | None = None
    trainings: int = 0


@dataclass
class Bench:
    """The place where stages are done; a process has one, and keeps the model that was used last loaded.

    Attributes:
        config: the study.
        store: where results are.
        device: where models run; None is the first GPU, if there is one.
    """

    config: StudyConfig
    store: Store
    device: str | None = None
    _model: ChatModel | None = None

    def chat_model(self, stage: Stage) -> ChatModel:
        """The stage's model, steering seen to work on it."""
        if self._model is None or self._model.name != stage.model:
            entry = self._entry(stage)
            self._model = None  # freed before another takes its place
            transformers_logging.set_verbosity_error()
            transformers_logging.disable_progress_bar()  # the study has bars of its own
            found = load_chat_model(
                checkpoint(entry),
                dtype=entry.dtype,
                device=self.device,
                quantise=entry.quantise,
                revision=revision_of(entry),
            )
            if entry.template_options:
                found = replace(found, renderer=Renderer(found.tokenizer, entry.template_options))
            self_check(found, found.layers // 2)
            self._model = replace(found, name=entry.name)
        return self._model

    def material(self, stage: Stage, behaviour: str | None = None) -> Material:
        """A behaviour's material (default: the stage's own, which must be what the plan was made with).

        Raises:
            DataError: a file has changed since.
        """
        found = self.material_now(stage, behaviour)
        if behaviour is None:
            found.check(stage.settings)
        return found

    def material_now(self, stage: Stage, behaviour: str | None = None) -> Material:
        """A behaviour's material, whether or not it is what the plan was made with."""
        spec = self._behaviours[behaviour or stage.behaviour]
        return material_of(spec, self._entry(stage), self.config.good_per_bad)

    def checkpoint(self, stage: Stage) -> str | Path:
        """Where the stage's model lies: a folder, or a name on the hub."""
        return checkpoint(self._entry(stage))

    def _entry(self, stage: Stage) -> ModelEntry:
        """The stage's model, as the study file has it."""
        return next(one for one in self.config.models if one.name == stage.model)

    @property
    def used_device(self) -> torch.device | None:
        """Where the model is that was used last; None before the first."""
        return None if self._model is None else self._model.device

    @cached_property
    def _behaviours(self) -> dict[str, BehaviourSpec]:
        return behaviours_and_controls(self.config)

    def folder(self, stage: Stage, role: str) -> Path:
        """The result of one of a stage's inputs; of a choice, that of the training that was chosen."""
        return self.store.folder(self.resolved(stage.inputs[role]))

    def resolved(self, stage_id: str) -> str:
        """The training that a choice came to; any other stage is itself."""
        return str(self.choice(stage_id)["training"]) if stage_id.startswith("choice-") else stage_id

    def choice(self, stage_id: str) -> dict[str, Any]:
        """The result of a choice.

        Raises:
            DataError: its file is damaged.
        """
        path = self.store.folder(stage_id) / CHOICE_FILE
        return read_object(path, DataError, "Remove the stage's folder and run the study again.")

    def adapter(self, stage: Stage, role: str) -> Adapter:
        """The trained adapter of one of a stage's inputs, where the stage's model is."""
        return load_adapter(self.folder(stage, role) / TRAINING)

    def trajectory(self, stage: Stage, role: str) -> dict[int, Adapter]:
        """The checkpoints of one of a stage's inputs, by step."""
        return dict(read_trajectory(self.folder(stage, role) / TRAINING))
