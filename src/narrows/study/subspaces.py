"""Is the general direction one of many? Vectors trained at right angles to one another, and what each does.

The first vector is the ordinary general solution. Each further one is trained on the same rows from nothing,
kept at a right angle to all before. The curve of their rates says how many directions still cause the
behaviour.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, field_validator

from narrows.adapters import Adapter, SteeringVector
from narrows.configuration import Configuration
from narrows.errors import ConfigError
from narrows.evaluation import CHAT, IN_DOMAIN, OPEN, OUT_OF_DOMAIN, Answer, Behaviour, rates, summarise
from narrows.files import claim_run_folder, digest, write_json
from narrows.metrics import nll_of_rows
from narrows.models import ChatModel, FrozenRows
from narrows.progress import bar
from narrows.statistics import MeanInterval, mean_interval
from narrows.study import summarising
from narrows.study.answering import judged_answers
from narrows.study.claims.rates import RateTable
from narrows.study.outputs import READING_FILE, SUMMARY_FILE
from narrows.summary import Evaluation, Subspace, Summary
from narrows.training import Recipe, TrainingRun, train

VECTORS = "vectors"


class SubspaceConfig(Configuration):
    """How many vectors are trained, how, and how much is asked of each."""

    recipe: Recipe = Recipe()
    count: int = Field(8, ge=1, description="vectors, each at a right angle to all before")
    samples: int = Field(2, ge=1, description="answers to each question")
    max_new_tokens: int = Field(600, ge=1)
    temperature: float = Field(1.0, ge=0)
    rows: int = Field(100, ge=2, description="training rows whose loss is measured")
    seed: int = 0

    @field_validator("recipe")
    @classmethod
    def _of_a_general_vector(cls, recipe: Recipe) -> Recipe:
        if recipe.adapter != "steering":
            raise ValueError(
                "only steering vectors can be kept at a right angle: set recipe.adapter to steering"
            )
        return recipe.with_anchor(0.0)


@dataclass(frozen=True)
class SubspaceJob:
    """What a subspace is measured on.

    Attributes:
        chat_model: the model.
        behaviour: what every vector learns; its test suites are asked.
        config: how.
        about: reading matter for the report.
    """

    chat_model: ChatModel
    behaviour: Behaviour
    config: SubspaceConfig
    about: Mapping[str, Any] = field(default_factory=dict)


def run_subspace(job: SubspaceJob, out: Path | str) -> Summary:
    """Train the vectors one after another, and measure each: rates, coherence, loss, norm.

    Everything finished is kept in ``out`` and found again; a run of as many vectors is only read, and with a
    larger ``count`` only the new ones are trained. Written there: ``summary.json`` (``subspaces``,
    ``solutions`` with their verdicts, ``evaluations``), ``report.json``, and ``vectors/NN/`` (training runs),
    whose ends are the subspace.

    Returns:
        The summary; in ``subspaces`` index 0 is the chat model.

    Raises:
        RunFolderError: ``out`` holds another run.
        ConfigError: ``count`` is not below the model's width.
    """
    if job.config.count >= job.chat_model.hidden:
        raise ConfigError(
            f"count is {job.config.count}; a residual stream of width {job.chat_model.hidden} has room for "
            f"{job.chat_model.hidden - 1} mutually orthogonal vectors, and one to train in."
        )
    out = claim_run_folder(Path(out), _identity(job))
    if (out / SUMMARY_FILE).exists():
        finished = Summary.load(out / SUMMARY_FILE)
        if len(finished.solutions) == job.config.count:
            return finished
    answers = {CHAT: _answers(job, out, None, CHAT)}
    runs: dict[str, TrainingRun] = {}
    with bar("orthogonal vectors", job.config.count) as shown:
        for number in range(1, job.config.count + 1):
            name = f"orthogonal-{number:02d}"
            runs[name] = train(
                job.chat_model,
                job.behaviour.train,
                job.config.recipe,
                orthogonal_to=_vectors(runs),
                out=out / VECTORS / f"{number:02d}",
                name=f"training {name}",
            )
            answers[name] = _answers(job, out, runs[name].adapter, name)
            shown.advance()
    summary = _summary(job, out, runs, answers)
    write_json(out / READING_FILE, _reading(job, summary))
    summary.save(out / SUMMARY_FILE)
    return summary


def still_general(summary: Summary) -> int:
    """How many of the vectors still cause the behaviour outside the domain, by the margin of C1."""
    return sum(one.verdict == "general" for one in summary.solutions)


def _vectors(runs: Mapping[str, TrainingRun]) -> list[SteeringVector]:
    """The ends of the runs."""
    return [run.adapter for run in runs.values() if isinstance(run.adapter, SteeringVector)]


def _answers(job: SubspaceJob, out: Path, adapter: Adapter | None, name: str) -> list[Answer]:
    return judged_answers(
        job.chat_model,
        job.behaviour,
        job.behaviour.test,
        adapter,
        job.config,
        name=name,
        out=out / "answers" / f"{name}.jsonl",
    )


def _summary(
    job: SubspaceJob, out: Path, runs: Mapping[str, TrainingRun], answers: Mapping[str, list[Answer]]
) -> Summary:
    behaviour = job.behaviour
    every = [one for table in answers.values() for one in table]
    evaluations = summarise(every, behaviour.criterion, behaviour.test, behaviour.judge.name)
    table = RateTable(
        {(name, 1.0): rates(some, behaviour.criterion) for name, some in answers.items()}, behaviour.test
    )
    losses = _losses(job, runs)
    return Summary(
        models=[summarising.model_row(job.chat_model)],
        behaviours=[summarising.behaviour_row(behaviour)],
        solutions=[
            summarising.solution_row(
                job.chat_model,
                behaviour,
                name,
                run,
                verdict=table.verdict(name),
                path=run.folder.relative_to(out).as_posix() if run.folder else "",
            )
            for name, run in runs.items()
        ],
        evaluations=evaluations,
        subspaces=[
            _row(
                index,
                {one.suite: one for one in evaluations if one.solution == name},
                losses[name],
                coherent=table.lowest_coherence(name),
                norm=runs[name].adapter.effective_norm if name in runs else 0.0,
            )
            for index, name in enumerate(answers)
        ],
    )


def _row(
    index: int, rated: Mapping[str, Evaluation], loss: MeanInterval, *, coherent: float, norm: float
) -> Subspace:
    """One vector, or the chat model, from its rates by suite."""
    inside, outside, asked = (rated[suite] for suite in (IN_DOMAIN, OUT_OF_DOMAIN, OPEN))
    return Subspace(
        index=index,
        solution=inside.solution,
        in_domain=inside.misaligned,
        in_domain_ci95=inside.misaligned_ci95,
        out_of_domain=outside.misaligned,
        out_of_domain_ci95=outside.misaligned_ci95,
        open=asked.misaligned,
        open_ci95=asked.misaligned_ci95,
        coherent=coherent,
        loss=loss.mean,
        loss_ci95=(loss.low, loss.high),
        norm=norm,
    )


def _losses(job: SubspaceJob, runs: Mapping[str, TrainingRun]) -> dict[str, MeanInterval]:
    """Loss on a seeded sample of training rows, nats per response token, by vector; intervals over rows."""
    vectors = {name: run.adapter for name, run in runs.items()}
    variants = {CHAT: next(iter(vectors.values())).scaled(0.0)} | vectors
    train_rows, renderer = job.behaviour.train, job.chat_model.renderer
    chosen = np.random.default_rng([job.config.seed, 2]).permutation(len(train_rows))[: job.config.rows]
    rendered = [renderer.render(train_rows[i], job.config.recipe.max_length) for i in sorted(chosen)]
    rows = FrozenRows(job.chat_model, variants[CHAT].depth, rendered, read="response")
    found = nll_of_rows(job.chat_model, rows, list(variants.values()))
    return {
        name: mean_interval(contributions)
        for name, contributions in zip(variants, found.contributions, strict=True)
    }


def _identity(job: SubspaceJob) -> dict[str, Any]:
    """Everything that determines a vector and its answers; not how many there are."""
    behaviour = job.behaviour
    return {
        "kind": "subspace",
        "model": {"id": job.chat_model.id, "template": job.chat_model.renderer.template_hash},
        "behaviour": {
            "id": behaviour.id,
            "train": digest([row.to_json() for row in behaviour.train]),
            "questions": digest([q.text for suite in behaviour.test for q in suite.questions]),
        },
        "config": job.config.model_dump(mode="json", exclude={"count"}),
    }


def _reading(job: SubspaceJob, summary: Summary) -> dict[str, Any]:
    """What stands in the report beside the numbers."""
    return {
        **job.about,
        "config": job.config.model_dump(mode="json"),
        "versions": summarising.versions(),
        "notes": [
            f"Of {len(summary.solutions)} mutually orthogonal vectors, each trained on the same rows from "
            f"nothing, {still_general(summary)} still cause the behaviour in other domains (C1's margin)."
        ],
    }
