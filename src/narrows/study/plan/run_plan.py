"""The stages of one run: what is trained, asked and measured, and what needs what."""

from collections.abc import Sequence
from typing import Any

from narrows.study.claims.rates import SCALED_UP
from narrows.study.config import StudyConfig
from narrows.study.config.behaviours import WorldBehaviours
from narrows.study.config.runs import BehaviourSpec, RunSpec, other_kind
from narrows.study.convergence.claim import OTHER, OWN
from narrows.study.materials import Material, Rows, material_of
from narrows.study.materials.checks import check_enough
from narrows.study.measures import REOPTIMISED_SHARES
from narrows.study.plan.stage import Kind, Stage
from narrows.study.plan.trainings import CHOSEN, Training, determining, training_stage

AUTHOR_TOPICS, AUTHOR_DOCUMENTS = 12, 120
"""Topics of each domain in which an author is inferred; documents of each type for their directions."""


class RunPlanner:
    """Puts the stages of a run into a plan.

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

    def plan(self) -> str:
        """Add all stages; returns the id of the one that decides the run's claims."""
        measure = self.measure
        self._asked("chat", None)
        general = self._train(Training("unanchored"))
        grid = [self._train(Training(f"anchored-{one:g}", one)) for one in self.run.kl_weights]
        narrow = self._anchored(grid)
        for scale in measure.unanchored_scales:
            self._asked("unanchored", general, scale)
        for scale in measure.scales:
            self._asked("anchored", narrow, scale)
        if measure.grid_answers:
            for weight, one in zip(self.run.kl_weights, grid, strict=True):
                self._asked(f"anchored-{weight:g}", one)
        mixtures = self._mixtures()
        if measure.lifted:
            self._lifted(general, narrow)
        measured = self._measured(general, narrow)
        inputs = {
            **{f"solution:{name}": one for name, one in self._solutions.items()},
            **{f"verdicts:{name}": one for name, one in self._verdicts.items()},
            **measured,
            **({} if self._choice is None else {"choice": self._choice}),
        }
        return self._add("claims", "claims", inputs, {"run": self._facts(mixtures), "judge": self._judge})

    def _facts(self, mixtures: dict[str, tuple[str, float]]) -> dict[str, Any]:
        """What the claims' stage has to know of the run."""
        return {
            "id": self.run.id,
            "adapter": self.run.adapter,
            "kind": self.run.behaviour.kind,
            "domain": self.run.behaviour.domain,
            "kl_weight": self.run.kl_weight,
            "kl_weights": list(self.run.kl_weights),
            "mixtures": mixtures,
            "trajectory": self.measure.trajectory,
        }

    # -- trainings ------------------------------------------------------------------------------------------

    def _train(self, wanted: Training, *, shown: bool = True, behaviour: BehaviourSpec | None = None) -> str:
        """Add a training; ``shown`` ones are solutions of the run."""
        material = self._material if behaviour is None else self._material_of(behaviour)
        stage = training_stage(self.run, material, self._model, wanted, self._choice)
        self._stages.setdefault(stage.id, stage)
        if shown:
            self._solutions[wanted.name] = stage.id
        return stage.id

    def _anchored(self, grid: Sequence[str]) -> str:
        """The anchored solution that the claims are about: of the given λ, or of the one that is chosen."""
        if self.run.kl_weight is not None:
            narrow = grid[self.run.kl_weights.index(self.run.kl_weight)]
        else:
            inputs = {"chat": self._asked("chat", None, split="validation", shown=False)}
            for place, one in enumerate(grid):
                inputs[f"training-{place}"] = one
                for scale in (1.0, SCALED_UP):
                    inputs[f"verdicts-{place}@{scale:g}"] = self._asked(
                        f"anchored-{self.run.kl_weights[place]:g}",
                        one,
                        scale,
                        split="validation",
                        shown=False,
                    )
            narrow = self._add("choice", "λ", inputs, {"kl_weights": list(self.run.kl_weights)})
            self._choice = narrow
        self._solutions["anchored"] = narrow
        return narrow

    @property
    def _weight(self) -> float | dict[str, float]:
        """The λ that the claims are about, for further trainings."""
        return CHOSEN if self.run.kl_weight is None else self.run.kl_weight

    def _mixtures(self) -> dict[str, tuple[str, float]]:
        """Train and ask the mixtures; by name what each series keeps, and the behaviour's share."""
        found: dict[str, tuple[str, float]] = {}
        mixtures = self.run.mixtures
        if mixtures is None or not self._material.good:
            return found
        for fixed in mixtures.fixed:
            for ratio in mixtures.good_per_bad:
                name, fraction = f"mixing-{fixed}-1:{ratio:g}", 1 / (1 + ratio)
                changes: dict[str, Any] = {}
                if fixed == "behaviour" and self.run.recipe.steps is not None:
                    # Each of the behaviour's rows is read as often as without good rows.
                    changes["steps"] = round(self.run.recipe.steps / fraction)
                rows = Rows(ratio, fixed, self.run.recipe.seed)
                self._material.rows(rows)  # refused now, if there are too few
                self._asked(name, self._train(Training(name, rows=rows, changes=changes)))
                found[name] = (fixed, fraction)
        return found

    def _lifted(self, general: str, narrow: str) -> None:
        """C7: the anchor lifted, kept and added; the general solution trained on too."""
        for name, weight, start in (
            ("lifted", 0.0, narrow),
            ("continued-anchored", self._weight, narrow),
            ("continued-unanchored", 0.0, general),
            ("added", self._weight, general),
        ):
            self._asked(name, self._train(Training(name, weight, start=start)))

    # -- questions ------------------------------------------------------------------------------------------

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

    # -- measurements ---------------------------------------------------------------------------------------

    def _measured(self, general: str, narrow: str) -> dict[str, str]:
        """Add the measurements; returns their stages by the part they play for the claims."""
        measure, found = self.measure, dict[str, str]()
        ends = {"unanchored": general, "anchored": narrow}
        rows = {
            "model": self._model,
            "train": self._material.train,
            "rows": measure.rows,
            "max_length": self.run.recipe.max_length,
            "seed": self.config.measure_seed,
        }
        if measure.efficiency:
            inputs = ends | self._neutral() | self._reoptimised(ends)
            points = {"norm_points": measure.norm_points, "reoptimised_shares": REOPTIMISED_SHARES}
            found["efficiency"] = self._add("efficiency", "efficiency", inputs, rows | points)
        if measure.stability:
            found["stability"] = self._add("stability", "stability", ends, rows | {"draws": measure.draws})
        if measure.significance and self._material.texts:
            inputs = dict(ends)
            if (other := other_kind(self.run.behaviour)) is not None:
                inputs["register"] = self._train(Training("unanchored"), shown=False, behaviour=other)
            settings = {
                "model": self._model,
                "texts": self._material.every_text,
                "text_tokens": measure.text_tokens,
                "norm_points": measure.norm_points,
                "seed": self.config.measure_seed,
            }
            found["significance"] = self._add("significance", "significance", inputs, settings)
        if measure.authors and isinstance(self.run.behaviour.source, WorldBehaviours):
            found["authors"] = self._authors(self.run.behaviour.source)
        if measure.gradients:
            found["gradients"] = self._gradients(general)
        able = measure.convergence and self._material.texts and self._material.behaviour.validation
        if able and (domain := self._other_domain()) is not None:
            found |= self._convergence(general, domain)
        return found

    def _authors(self, source: WorldBehaviours) -> str:
        """Add what the chat model takes authors to be, before any fine-tuning."""
        settings = {
            "model": self._model,
            "questions": self._material.test,
            "domain": self.run.behaviour.domain,
            "phrasings": source.phrasings,
            "layer": self.run.recipe.layer,
            "topics": AUTHOR_TOPICS,
            "documents": AUTHOR_DOCUMENTS,
            "seed": self.config.measure_seed,
        }
        return self._add("authors", "authors before fine-tuning", {}, settings)

    def _neutral(self) -> dict[str, str]:
        """Solutions anchored on neutral text at several λ, a control of C4."""
        if not self._material.neutral:
            return {}
        found = {}
        for place, factor in enumerate(self.measure.neutral_factors):
            chosen = self.run.kl_weight is None
            weight: Any = {"times_chosen": factor} if chosen else factor * (self.run.kl_weight or 0.0)
            training = Training(f"neutral-{place}", weight, anchor="neutral")
            found[f"neutral-{place}"] = self._train(training, shown=False)
        return found

    def _reoptimised(self, ends: dict[str, str]) -> dict[str, str]:
        """Both solutions trained on under several norms, a control of C4."""
        found: dict[str, str] = {}
        steps = self.measure.reoptimised_steps
        for name, weight in (("unanchored", 0.0), ("anchored", self._weight)) if steps else ():
            for place, share in enumerate(REOPTIMISED_SHARES):
                training = Training(
                    f"{name}-reoptimised-{place}",
                    weight,
                    start=ends[name],
                    ends=ends,
                    norm_share=share,
                    changes={"steps": steps},
                )
                found[f"{name}-reoptimised-{place}"] = self._train(training, shown=False)
        return found

    def _gradients(self, general: str) -> str:
        """C8: the followed run is the unanchored one; its ends are of runs in another order of the rows."""
        changes = {"seed": self.run.recipe.seed + 1}
        first = self.run.recipe if self.run.recipe.adapter == "lora" else None
        inputs = {"followed": general}
        for role, weight in (("general", 0.0), ("narrow", self._weight)):
            training = Training(f"{role}, other order", weight, first_of=first, changes=changes)
            inputs[role] = self._train(training, shown=False)
        measure = self.measure
        settings = {
            "model": self._model,
            "train": self._material.train,
            "recipe": determining(self.run.recipe).model_dump(mode="json"),
            "every": measure.gradient_every,
            "groups": measure.gradient_groups,
            "rows_of_group": measure.gradient_rows,
            "seed": self.config.measure_seed,
        }
        return self._add("gradients", "gradients", inputs, settings)

    def _convergence(self, general: str, domain: BehaviourSpec) -> dict[str, str]:
        """C10: the same trait taught in another domain."""
        other = self._train(Training("unanchored"), shown=False, behaviour=domain)
        measure = self.measure
        settings = {
            "model": self._model,
            "questions": [self._material.test, self._material.validation, self._material_of(domain).test],
            "judges": [self._judge, self._material_of(domain).judge_identity],
            "texts": self._material.every_text,
            "text_tokens": measure.text_tokens,
            "samples": measure.samples,
            "direction_samples": measure.direction_samples,
            "max_new_tokens": measure.max_new_tokens,
            "temperature": measure.temperature,
            "seed": self.config.measure_seed,
        }
        found = self._add(
            "convergence",
            "one direction ablated",
            {OWN: general, OTHER: other},
            settings,
            source={"other": domain.id},
        )
        return {
            "convergence": found,
            f"convergence:{OWN}": self._asked("unanchored", general),
            f"convergence:{OTHER}": self._asked("unanchored", other, shown=False, behaviour=domain),
        }

    # -- what else there is ---------------------------------------------------------------------------------

    def _other_domain(self) -> BehaviourSpec | None:
        """The same kind of behaviour in the study's next domain."""
        mine = self.run.behaviour
        alike = {one.behaviour.id: one.behaviour for one in self._runs if one.behaviour.kind == mine.kind}
        same = list(alike.values())
        after = same.index(mine) + 1
        return next((one for one in same[after:] + same[:after] if one.domain != mine.domain), None)

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
