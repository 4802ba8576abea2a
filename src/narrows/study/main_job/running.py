"""The main job: general and narrow solutions of one behaviour on one model, measured, with verdicts."""

import logging
from pathlib import Path
from typing import Any

from narrows.adapters import Adapter, self_check
from narrows.evaluation import CHAT, Answer, rates
from narrows.files import claim_run_folder, digest, write_json
from narrows.geometry import trajectory
from narrows.study import claims, summarising
from narrows.study.answering import judged_answers
from narrows.study.claims.geometry import c8
from narrows.study.claims.verdicts import ClaimResult
from narrows.study.clock import Clock
from narrows.study.gradients import gradient_rows
from narrows.study.main_job.following import gradients_of_main_job
from narrows.study.main_job.job import MainJob
from narrows.study.main_job.solutions import (
    Trainer,
    reoptimise,
    solution_rows,
    train_controls,
    train_solutions,
)
from narrows.study.main_job.tuning import Tuned, tune
from narrows.study.measures import (
    REOPTIMISED_SHARES,
    efficiency_with_controls,
    loss_rows,
    norm_grid,
    significance_with_controls,
    stability_with_controls,
    trained_norms,
)
from narrows.study.outputs import READING_FILE, SUMMARY_FILE
from narrows.summary import Summary

logger = logging.getLogger(__name__)

CONTINUED = ("lifted", "continued-anchored", "continued-unanchored")


def run_main_job(job: MainJob, out: Path | str) -> Summary:
    """Chat model → unanchored → anchored → rates → three metrics → anchor lifted → claims C1, C2, C4-C7.

    With ``config.gradients`` the loss gradient is followed too, for C8.

    Everything finished is kept in ``out`` and found again, so a run that was killed goes on. Written there:
    ``summary.json`` (schema 1), ``report.json`` (reading matter for the page), ``solutions/`` (adapters with
    their trajectories), ``answers/`` (judged answers tables), ``run.json`` (the effective configuration).

    Raises:
        RunFolderError: ``out`` holds another run.
        ModelError: steering does not do on this model what it should.
    """
    out = claim_run_folder(Path(out), _identity(job))
    if (out / SUMMARY_FILE).exists():
        return Summary.load(out / SUMMARY_FILE)
    clock = Clock(out / "timings.json")
    layer = job.config.recipe.layer
    layer = job.chat_model.layers // 2 if layer is None else layer
    with clock.time("self-check"):
        self_check(job.chat_model, layer)
    with clock.time("chat model answers"):
        answers = {(CHAT, 1.0): _answers(job, out, None, CHAT, 1.0)}
    tuned, weight = None, job.config.kl_weight
    if weight is None:
        with clock.time("tuning λ"):
            tuned = _tune(job, out)
        weight = tuned.best
    trainer = Trainer(job, weight, out / "solutions")
    with clock.time("training solutions"):
        solutions = train_solutions(trainer)
        rows = loss_rows(
            job.chat_model,
            job.behaviour.train,
            solutions["unanchored"].depth,
            count=job.config.rows,
            max_length=job.config.recipe.max_length,
            seed=job.config.seed,
        )
    with clock.time("training controls"):
        controls = train_controls(trainer, job, rows, solutions)
        ends = {name: solutions[name] for name in ("unanchored", "anchored")}
        norms = norm_grid(ends["unanchored"], ends["anchored"], job.config.norm_points)
        largest = max(one.effective_norm for one in ends.values())
        wanted = [share * largest for share in REOPTIMISED_SHARES] if job.config.reoptimised_steps else []
        reoptimised = reoptimise(trainer, job, ends, wanted) if wanted else {}
    gradients = None
    if job.config.gradients:
        with clock.time("gradients"):
            gradients = gradients_of_main_job(job, trainer)
    with clock.time("answers"):
        answers |= _all_answers(job, out, solutions)
    with clock.time("metrics"):
        efficiency = efficiency_with_controls(
            job.chat_model,
            rows,
            ends | {k: v for k, v in controls.items() if k == "neutral-anchored"},
            reoptimised,
            norms,
        )
        stability = stability_with_controls(
            job.chat_model,
            rows,
            ends["unanchored"],
            ends["anchored"],
            draws=job.config.draws,
            seed=job.config.seed,
        )
        significance = significance_with_controls(
            job.chat_model,
            job.texts,
            ends | {k: v for k, v in controls.items() if k == "register"},
            text_tokens=job.config.text_tokens,
            points=job.config.norm_points,
            seed=job.config.seed,
        )
        paths = trajectory(
            {name: trainer.runs[name].trajectory for name in ("unanchored", "anchored", *CONTINUED)},
            general=solutions["continued-unanchored"],
            narrow=solutions["anchored"],
        )
    measured = {key: rates(table, job.behaviour.criterion) for key, table in answers.items()}
    table = claims.RateTable(measured, job.behaviour.test)
    results = [
        claims.c1(table),
        claims.c2(table),
        claims.c4(efficiency, trained_norms(norms, largest)),
        claims.c5(stability),
        claims.c6(significance.curves, significance.norms),
        claims.c7(table, solutions),
        *([] if gradients is None else [c8(gradients)]),
    ]
    summary = Summary(
        models=[summarising.model_row(job.chat_model)],
        behaviours=[summarising.behaviour_row(job.behaviour)],
        solutions=solution_rows(job, trainer, table, out),
        evaluations=summarising.evaluation_rows(job.behaviour, answers),
        efficiency=summarising.efficiency_rows(efficiency),
        stability=summarising.stability_rows(stability),
        significance=summarising.significance_rows(significance.curves, set(solutions) | set(controls)),
        gradients=[] if gradients is None else gradient_rows("unanchored", gradients),
        trajectories=[paths],
        claims=[result.as_claim(job.chat_model.id, job.behaviour.id) for result in results],
        timings=clock.seconds,
    )
    write_json(out / READING_FILE, _reading(job, answers, results, tuned, weight))
    summary.save(out / SUMMARY_FILE)
    return summary


def _identity(job: MainJob) -> dict[str, Any]:
    """Everything that determines the result of the job."""
    behaviour = job.behaviour
    return {
        "kind": "main-job",
        "model": {"id": job.chat_model.id, "template": job.chat_model.renderer.template_hash},
        "behaviour": {
            "id": behaviour.id,
            "train": digest([row.to_json() for row in behaviour.train]),
            "anchor": digest([row.to_json() for row in behaviour.anchor]),
            "questions": digest(
                [q.text for suite in (*behaviour.validation, *behaviour.test) for q in suite.questions]
            ),
        },
        "texts": {kind: digest(list(texts)) for kind, texts in job.texts.items()},
        # A job without gradients is the job that it was before they could be asked for.
        "config": job.config.model_dump(mode="json", exclude=None if job.config.gradients else {"gradients"}),
    }


def _tune(job: MainJob, out: Path) -> Tuned:
    """Tune λ once; what was tried is kept in ``tuning.json``."""
    tuned = tune(job.chat_model, job.behaviour, job.config, out / "tuning")
    write_json(
        out / "tuning.json",
        {"kl_weight": tuned.kl_weight, "best": tuned.best, "trials": [vars(trial) for trial in tuned.trials]},
    )
    return tuned


def _answers(job: MainJob, out: Path, adapter: Adapter | None, name: str, scale: float) -> list[Answer]:
    return judged_answers(
        job.chat_model,
        job.behaviour,
        job.behaviour.test,
        adapter,
        job.config,
        name=name,
        scale=scale,
        out=out / "answers" / f"{name}@{scale:g}.jsonl",
    )


def _all_answers(
    job: MainJob, out: Path, solutions: dict[str, Adapter]
) -> dict[tuple[str, float], list[Answer]]:
    """Both solutions at every scale, the continued ones at their own."""
    wanted = [(name, scale) for name in ("unanchored", "anchored") for scale in job.config.scales]
    wanted += [(name, 1.0) for name in CONTINUED]
    return {(name, scale): _answers(job, out, solutions[name], name, scale) for name, scale in wanted}


def _reading(
    job: MainJob,
    answers: dict[tuple[str, float], list[Answer]],
    results: list[ClaimResult],
    tuned: Tuned | None,
    weight: float,
) -> dict[str, Any]:
    """What stands in the report beside the numbers."""
    notes = [f"λ of the anchored solution: {weight:g} nats per token ({_how_chosen(tuned)})."]
    notes.append(
        f"Losses are over {job.config.rows} training rows, significance over "
        f"{sum(map(len, job.texts.values()))} texts, stability over {job.config.draws} noise draws."
    )
    return {
        **job.about,
        "quotes": summarising.quotes(answers),
        "claim_parts": {result.id: [part.as_reading() for part in result.parts] for result in results},
        "config": job.config.model_dump(mode="json"),
        "versions": summarising.versions(),
        "notes": notes,
    }


def _how_chosen(tuned: Tuned | None) -> str:
    if tuned is None:
        return "given"
    tried = ", ".join(f"{trial.kl_weight:g}" for trial in tuned.trials)
    return f"{tuned.how}; tried {tried}"
