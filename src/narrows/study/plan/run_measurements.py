"""The measurements of one run, and the trainings that they need beside its solutions."""

from typing import Any

from narrows.study.config.behaviours import WorldBehaviours
from narrows.study.config.runs import BehaviourSpec, other_kind
from narrows.study.convergence.claim import OTHER, OWN
from narrows.study.measures import REOPTIMISED_SHARES
from narrows.study.plan.run_stages import RunStages
from narrows.study.plan.trainings import Training, determining

AUTHORS = "authors"
"""What a microworld's model takes authors to be; also begins the parts of the metrics of their directions."""

AUTHOR_TOPICS, AUTHOR_DOCUMENTS, AUTHOR_STRENGTH = 12, 120, 0.75
"""Topics of each domain in which an author is inferred; documents of each type for their directions; norm of
these as a share of the stream's, which is about a trained vector's.
"""


class RunMeasurements(RunStages):
    """A run with its measurements."""

    def _measured(self, general: str, narrow: str) -> dict[str, str]:
        """Add the measurements; returns their stages by the part they play for the claims."""
        measure, ends = self.measure, {"unanchored": general, "anchored": narrow}
        found = self._metrics(ends, controls=True)
        if measure.authors and isinstance(self.run.behaviour.source, WorldBehaviours):
            found |= self._authors(self.run.behaviour.source)
        if measure.gradients:
            found["gradients"] = self._gradients(general)
        able = measure.convergence and self._material.texts and self._material.behaviour.validation
        if able and (domain := self._other_domain()) is not None:
            found |= self._convergence(general, domain)
        return found

    def _metrics(self, ends: dict[str, str], *, controls: bool, of: str = "") -> dict[str, str]:
        """Add the three metrics of two ends, ``unanchored`` and ``anchored``; ``of`` begins their parts."""
        measure, found = self.measure, dict[str, str]()
        rows = {
            "model": self._model,
            "train": self._material.train,
            "rows": measure.rows,
            "max_length": self.run.recipe.max_length,
            "seed": self.config.measure_seed,
        }
        if measure.efficiency:
            inputs = ends | (self._neutral() | self._reoptimised(ends) if controls else {})
            points = {"norm_points": measure.norm_points, "reoptimised_shares": REOPTIMISED_SHARES}
            found[f"{of}efficiency"] = self._add("efficiency", f"{of}efficiency", inputs, rows | points)
        if measure.stability:
            settings = rows | {"draws": measure.draws}
            found[f"{of}stability"] = self._add("stability", f"{of}stability", ends, settings)
        if measure.significance and self._material.texts:
            inputs = dict(ends)
            if controls and (other := other_kind(self.run.behaviour)) is not None:
                inputs["register"] = self._train(Training("unanchored"), shown=False, behaviour=other)
            settings = {
                "model": self._model,
                "texts": self._material.every_text,
                "text_tokens": measure.text_tokens,
                "norm_points": measure.norm_points,
                "seed": self.config.measure_seed,
            }
            found[f"{of}significance"] = self._add("significance", f"{of}significance", inputs, settings)
        return found

    def _authors(self, source: WorldBehaviours) -> dict[str, str]:
        """Add what the chat model takes authors to be before any fine-tuning, and the metrics of that.

        The direction of authors who are harmful everywhere stands for the general solution, that of those
        who are harmful in the target only for the narrow one.
        """
        model = {
            "model": self._model,
            "domain": self.run.behaviour.domain,
            "layer": self.run.recipe.layer,
            "documents": AUTHOR_DOCUMENTS,
            "seed": self.config.measure_seed,
        }
        asked = {"questions": self._material.test, "phrasings": source.phrasings, "topics": AUTHOR_TOPICS}
        found = {AUTHORS: self._add("authors", "authors before fine-tuning", {}, model | asked)}
        ends = {}
        for name, author in (("unanchored", "everywhere"), ("anchored", "one_domain")):
            settings = model | {"author": author, "strength": AUTHOR_STRENGTH}
            title = f"direction of authors harmful {author.replace('one_domain', 'in one domain')}"
            ends[name] = self._add("author-direction", title, {}, settings)
        return found | self._metrics(ends, controls=False, of=f"{AUTHORS}:")

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

    def _other_domain(self) -> BehaviourSpec | None:
        """The same kind of behaviour in the study's next domain."""
        mine = self.run.behaviour
        alike = {one.behaviour.id: one.behaviour for one in self._runs if one.behaviour.kind == mine.kind}
        same = list(alike.values())
        after = same.index(mine) + 1
        return next((one for one in same[after:] + same[:after] if one.domain != mine.domain), None)
