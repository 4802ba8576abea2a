"""What one run measured, read from the results of its stages."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from narrows.adapters import Adapter
from narrows.errors import DataError
from narrows.evaluation import Answer, Behaviour, SuiteRates, rates, read_answers
from narrows.files import RUN_FILE
from narrows.metrics import Curve, GradientCosines, StabilityCurve
from narrows.strict import read_object
from narrows.study.answering import scored
from narrows.study.claims import RateTable
from narrows.study.plan.stage import Stage
from narrows.study.stages.asking import ANSWERS_FILE
from narrows.study.stages.bench import TRAINING, Bench
from narrows.study.stages.converging import FOUND_FILE
from narrows.study.stages.curves import read_curves, read_samples
from narrows.study.stages.measuring import COSINES_FILE, CURVES_FILE

VERDICTS = "verdicts:"
"""Begins the roles of judged answers: ``verdicts:NAME@SCALE``."""

SOLUTION = "solution:"
"""Begins the roles of trainings: ``solution:NAME``."""


@dataclass(frozen=True)
class RunResults:
    """The results that a run's claims are decided from.

    Attributes:
        stage: the run's claims stage: its inputs say which stage plays which part.
        bench: where results are.
    """

    stage: Stage
    bench: Bench

    @property
    def run(self) -> Mapping[str, Any]:
        """The run as the plan has it: id, adapter in words, kind, λ grid."""
        found: Mapping[str, Any] = self.stage.settings["run"]
        return found

    @cached_property
    def behaviour(self) -> Behaviour:
        """What was taught."""
        return self.bench.material(self.stage).behaviour

    def folder(self, role: str) -> Path:
        """The result of a stage by its part; of a choice, that of the training that was chosen."""
        return self.bench.folder(self.stage, role)

    def has(self, role: str) -> bool:
        """Whether the run measured something."""
        return role in self.stage.inputs

    @cached_property
    def direction(self) -> dict[str, Any] | None:
        """What was found for C10: the direction's layer and its answers; None if there was too little."""
        if not self.has("convergence"):
            return None
        found = read_object(self.folder("convergence") / FOUND_FILE, DataError, "Run the study again.")
        return None if "missing" in found else found

    @property
    def solutions(self) -> list[str]:
        """Names of the trained solutions, in the plan's order."""
        return [role.removeprefix(SOLUTION) for role in self.stage.inputs if role.startswith(SOLUTION)]

    def adapter(self, name: str) -> Adapter:
        """A trained solution."""
        return self.bench.adapter(self.stage, SOLUTION + name)

    def trajectory(self, name: str) -> dict[int, Adapter]:
        """The checkpoints of a solution's training."""
        return self.bench.trajectory(self.stage, SOLUTION + name)

    def recipe(self, name: str) -> dict[str, Any]:
        """How a solution was trained."""
        path = self.folder(SOLUTION + name) / TRAINING / RUN_FILE
        found: dict[str, Any] = read_object(path, DataError, "Run the study again.")["recipe"]
        return found

    @cached_property
    def kl_weight(self) -> float:
        """The λ that the claims are about."""
        given: float | None = self.run["kl_weight"]
        return float(self.bench.choice(self.stage.inputs["choice"])["kl_weight"]) if given is None else given

    @property
    def how_chosen(self) -> str:
        """How that λ came about, in words."""
        if self.run["kl_weight"] is not None:
            return "given"
        return str(self.bench.choice(self.stage.inputs["choice"])["how"])

    @cached_property
    def answers(self) -> dict[tuple[str, float], list[Answer]]:
        """Judged answers to the test questions, by solution and scale."""
        found = {}
        for role in self.stage.inputs:
            if role.startswith(VERDICTS):
                name, _, scale = role.removeprefix(VERDICTS).rpartition("@")
                found[name, float(scale)] = read_answers(self.folder(role) / ANSWERS_FILE)
        return found

    @cached_property
    def rates(self) -> dict[tuple[str, float], list[SuiteRates]]:
        """Rates by suite, of each solution at each scale; suites without any verdict are left out."""
        criterion = self.behaviour.criterion
        return {key: rates(scored(table, criterion), criterion) for key, table in self.answers.items()}

    @cached_property
    def table(self) -> RateTable:
        """All rates, held against one another."""
        return RateTable(self.rates, self.behaviour.test)

    @cached_property
    def efficiency(self) -> tuple[dict[str, Curve], float]:
        """Loss against norm by solution, and the larger trained norm."""
        return self.efficiency_of("efficiency")

    def efficiency_of(self, role: str) -> tuple[dict[str, Curve], float]:
        """The same of any stage of this kind, by its part."""
        curves, facts = read_curves(self.folder(role) / CURVES_FILE)
        return curves, float(facts["largest"])

    @cached_property
    def stability(self) -> dict[str, StabilityCurve]:
        """Loss under noise by solution."""
        return self.stability_of("stability")

    def stability_of(self, role: str) -> dict[str, StabilityCurve]:
        """The same of any stage of this kind, by its part."""
        curves, facts = read_curves(self.folder(role) / CURVES_FILE)
        found = {}
        for name, loss in curves.items():
            own, chat = float(facts["unperturbed"][name]), float(facts["chat"][name])
            found[name] = StabilityCurve(
                unperturbed=own,
                chat=chat,
                loss=loss,
                relative=Curve.of(name, loss.grid, (loss.samples - own) / (chat - own)),
                absolute=Curve.of(name, loss.grid, loss.samples - own),
            )
        return found

    @cached_property
    def significance(self) -> dict[str, dict[str, Curve]]:
        """KL against norm by type of text (``all`` first) and direction."""
        return self.significance_of("significance")

    def significance_of(self, role: str) -> dict[str, dict[str, Curve]]:
        """The same of any stage of this kind, by its part."""
        curves, _ = read_curves(self.folder(role) / CURVES_FILE)
        found: dict[str, dict[str, Curve]] = {}
        for name, curve in curves.items():
            text, _, direction = name.partition("/")
            found.setdefault(text, {})[direction] = curve
        return found

    @cached_property
    def gradients(self) -> GradientCosines:
        """Cosines of the loss gradient along the unanchored run."""
        arrays, facts = read_samples(self.folder("gradients") / COSINES_FILE)
        begin = "cosines/"
        return GradientCosines(
            steps=list(facts["steps"]),
            cosines={name.removeprefix(begin): one for name, one in arrays.items() if name.startswith(begin)},
            norms=np.asarray(arrays["norms"]),
            resultant=float(facts["resultant"]),
            dimensions=int(facts["dimensions"]),
            frames=dict(facts["frames"]),
        )
