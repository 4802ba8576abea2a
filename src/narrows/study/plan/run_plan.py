"""The stages of one run: what is trained, asked and measured, and what needs what."""

from collections.abc import Sequence
from typing import Any

from narrows.study.claims.rates import SCALED_UP
from narrows.study.materials import Rows
from narrows.study.plan.run_measurements import RunMeasurements
from narrows.study.plan.trainings import Training


class RunPlanner(RunMeasurements):
    """A whole run."""

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
