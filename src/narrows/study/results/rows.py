"""One run's rows of the summary, from its raw results."""

from dataclasses import replace
from typing import Any

from narrows.adapters import Adapter
from narrows.errors import DataError
from narrows.evaluation import OUT_OF_DOMAIN
from narrows.geometry import trajectory
from narrows.statistics import macro_rate
from narrows.strict import read_object
from narrows.study import summarising
from narrows.study.claims import ClaimResult
from narrows.study.convergence.claim import LAYERS, OTHER, OWN, RANDOM
from narrows.study.gradients import gradient_rows
from narrows.study.results.claims import WORDS, ablated, run_claims, without_verdict
from narrows.study.results.mixing import mixing_rows
from narrows.study.results.run import RunResults
from narrows.study.stages.bench import MODEL_FILE
from narrows.summary import Behaviour, Intervention, Model, Run, Solution, Summary, Trajectory

FOLLOWED = ("unanchored", "anchored", "lifted", "continued-anchored", "continued-unanchored", "added")
"""The solutions whose way is shown, where they were trained."""


def run_summary(found: RunResults) -> tuple[Summary, dict[str, Any]]:
    """A run's summary, every id with the run's before it, and its reading matter."""
    prefix = f"{found.run['id']}/"
    model = Model.model_validate(
        read_object(found.folder("verdicts:chat@1") / MODEL_FILE, DataError, "Run the study again.")
    )
    results = run_claims(found)
    adapters = {name: found.adapter(name) for name in found.solutions}
    behaviour = found.behaviour
    summary = Summary(
        models=[model],
        behaviours=[Behaviour(id=behaviour.id, domain=behaviour.domain, kind=behaviour.kind)],
        runs=[_run(found, model, adapters["unanchored"])],
        solutions=[_solution(found, model, name, one) for name, one in adapters.items()],
        evaluations=[
            one.model_copy(update={"solution": prefix + one.solution})
            for one in summarising.evaluation_rows(behaviour, _named(found))
        ],
        mixing=mixing_rows(found, prefix),
        claims=[
            one.as_claim(model.id, behaviour.id).model_copy(update={"run": found.run["id"]})
            for one in results
        ],
    )
    if found.has("efficiency"):
        curves, _ = found.efficiency
        summary.efficiency = summarising.efficiency_rows({prefix + name: one for name, one in curves.items()})
    if found.has("stability"):
        summary.stability = summarising.stability_rows(
            {prefix + name: one for name, one in found.stability.items()}
        )
    if found.has("significance"):
        summary.significance = summarising.significance_rows(
            {
                text: {prefix + name: one for name, one in some.items()}
                for text, some in found.significance.items()
            },
            {prefix + name for name in adapters},
        )
    if found.has("gradients"):
        summary.gradients = gradient_rows(prefix + "unanchored", found.gradients)
    if found.direction is not None:
        summary.interventions = _interventions(found, prefix)
    if found.run["trajectory"]:
        summary.trajectories = [_trajectory(found, adapters, prefix)]
    return summary, _reading(found, results)


def _named(found: RunResults) -> dict[tuple[str, float], list[Any]]:
    """The answers under the names that their solutions have in this run; a stage may serve several."""
    return {
        (name, scale): [replace(one, adapter=name) for one in table]
        for (name, scale), table in found.answers.items()
    }


def _run(found: RunResults, model: Model, adapter: Adapter) -> Run:
    return Run(
        id=found.run["id"],
        model=model.id,
        behaviour=found.behaviour.id,
        adapter=adapter.kind,
        rank=adapter.rank,
        layer=adapter.layer,
        seed=found.recipe("unanchored")["seed"],
        kl_weight=found.kl_weight,
        kl_weight_chosen=found.how_chosen,
    )


def _solution(found: RunResults, model: Model, name: str, adapter: Adapter) -> Solution:
    recipe = found.recipe(name)
    return Solution(
        id=f"{found.run['id']}/{name}",
        name=name,
        model=model.id,
        behaviour=found.behaviour.id,
        adapter=adapter.kind,
        rank=adapter.rank,
        layer=adapter.layer,
        kl_weight=recipe["anchor"]["weight"],
        seed=recipe["seed"],
        norm=adapter.norm,
        effective_norm=adapter.effective_norm,
        steps=int(adapter.metadata["steps"]),
        verdict=found.table.verdict(name) if found.table.has(name) else "neither",
        path=f"stages/{found.folder(f'solution:{name}').name}/training",
    )


def _trajectory(found: RunResults, adapters: dict[str, Adapter], prefix: str) -> Trajectory:
    general = adapters.get("continued-unanchored", adapters["unanchored"])
    paths = {prefix + name: found.trajectory(name) for name in FOLLOWED if name in adapters}
    return trajectory(paths, general=general, narrow=adapters["anchored"])


def _interventions(found: RunResults, prefix: str) -> list[Intervention]:
    rows = []
    for fine_tune in (OWN, OTHER):
        for condition in (LAYERS, RANDOM):
            one = ablated(found, fine_tune, condition)
            if one is None:
                continue
            before, after = (macro_rate([suite.shown for suite in side]) for side in (one.before, one.after))
            coherent, usual = (
                macro_rate([suite.coherence for suite in side]).rate for side in (one.after, one.before)
            )
            rows.append(
                Intervention(
                    solution=f"{prefix}unanchored" if fine_tune == OWN else f"{prefix}{WORDS[OTHER]}",
                    direction=RANDOM if condition == RANDOM else "mean difference",
                    kind="ablate, layers",
                    before=before.rate,
                    after=after.rate,
                    coherent=coherent,
                    text_loss=one.text_loss,
                    suite=OUT_OF_DOMAIN,
                    before_ci95=(before.low, before.high),
                    after_ci95=(after.low, after.high),
                    coherent_before=usual,
                )
            )
    return rows


def _reading(found: RunResults, results: list[ClaimResult]) -> dict[str, Any]:
    """What stands beside the numbers: the parts of the claims, and answers to the same questions."""
    return {
        "run": found.run["id"],
        "kind": found.run["kind"],
        "adapter": found.run["adapter"],
        "claim_parts": {one.id: [part.as_reading() for part in one.parts] for one in results},
        "quotes": summarising.quotes(found.answers),
        "notes": without_verdict(found, results),
        "about": dict(found.bench.material(found.stage).about),
    }
