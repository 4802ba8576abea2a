"""Which layer, which strength: adapters at several layers and scales, asked, judged and held against text.

A sweep is a run folder: every cell's answers are kept in ``answers/`` and every training in ``layer-N/``, so
that one that was killed goes on, and one with more layers or scales asks only the new cells.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from narrows.adapters import Adapter
from narrows.chat import Rendered
from narrows.errors import DataError
from narrows.evaluation import CHAT, Answer, judged, read_answers, write_answers
from narrows.evaluation.generation.unfinished import until_written
from narrows.files import claim_run_folder, digest, write_json
from narrows.metrics import TextCost, text_cost
from narrows.models import FrozenRows
from narrows.progress import bar
from narrows.study.answering import drawn_answers
from narrows.study.sweep.cells import Behaved, Cell, Measured, at_point, behaved
from narrows.study.sweep.job import (
    LayerTraining,
    SweepJob,
    Swept,
    check_swept,
    check_training,
    residual_norms,
)
from narrows.study.sweep.rule import Recommendation, recommend
from narrows.training import train

SWEEP_FILE = "sweep.json"
TRAINED = "trained"
"""What adapters are called that the sweep trains."""

_NOTHING = Measured(0.0, (0.0, 0.0))


@dataclass(frozen=True)
class Sweep:
    """A finished sweep.

    Attributes:
        chat: the chat model, as a cell.
        cells: by adapter, then by scale.
        suite: whose rate decided.
        recommendation: what the rule says.
        judge: the judge's name.
    """

    chat: Cell
    cells: tuple[Cell, ...]
    suite: str
    recommendation: Recommendation
    judge: str

    def as_json(self) -> dict[str, Any]:
        """What ``sweep.json`` holds: rates and shares are fractions, losses and KLs nats per token."""
        found = self.recommendation
        return {
            "suite": self.suite,
            "judge": self.judge,
            "chat": asdict(self.chat),
            "cells": [asdict(cell) for cell in self.cells],
            "recommendation": {
                "cell": None if found.cell is None else _place(found.cell),
                "reason": found.reason,
                "set_aside": [_place(one.cell) | {"why": one.why} for one in found.set_aside],
            },
        }


def answers_needed(job: SweepJob, adapters: int) -> int:
    """How many answers a sweep asks for, those of the chat model among them."""
    questions = sum(map(len, job.suites))
    return (adapters * len(job.config.scales) + 1) * questions * job.config.samples


def run_sweep(job: SweepJob, given: Sequence[Swept] | LayerTraining, out: Path) -> Sweep:
    """Measure every adapter at every scale, and recommend one by :func:`narrows.study.sweep.rule.recommend`.

    Args:
        job: what is asked, judged and read.
        given: adapters that exist (see :func:`moved` for one vector at several layers), or what to train.
        out: folder of the run; gets ``sweep.json``.

    Raises:
        ConfigError: two adapters have one name and layer, there is none, or there is no deciding suite.
        DataError: there are no suites, fewer than two texts, or the chat model's answers have no scores.
        AdapterError: an adapter does not fit the model, or a layer does not exist.
        RunFolderError: ``out`` holds another run, or cannot be written.
    """
    if not job.suites:
        raise DataError("a sweep asks questions, and there are no suites.")
    texts = job.rendered()
    if isinstance(given, LayerTraining):
        check_training(job.chat_model, given)
    else:
        check_swept(job.chat_model, given)
    claim_run_folder(out, _identity(job, texts))
    swept = _trained(job, given, out) if isinstance(given, LayerTraining) else list(given)
    chat_answers = _kept_answers(job, None, CHAT, 1.0, out / "answers" / f"{CHAT}.jsonl")
    usual = behaved(chat_answers, chat_answers, job.suites, job.criterion, job.deciding)
    norms = residual_norms(job.chat_model, texts, {one.adapter.layer for one in swept})
    cells: list[Cell] = []
    with bar("sweep, cells", len(swept) * len(job.config.scales)) as shown:
        for one, cost in _costs(job, texts, swept):
            chat = _chat_cell(usual, cost)
            for place, scale in enumerate(job.config.scales):
                kept = out / "answers" / f"{one.file_name}@{scale:g}.jsonl"
                answers = _kept_answers(job, one.adapter, one.title, scale, kept)
                found = behaved(answers, chat_answers, job.suites, job.criterion, job.deciding)
                norm = norms[one.adapter.layer]
                cells.append(_cell(one, scale, found, cost, place=place, residual_norm=norm))
                shown.advance()
    advice = recommend(chat, cells, job.deciding, job.config.coherence_floor)
    sweep = Sweep(chat, tuple(cells), job.deciding, advice, job.judge.name)
    about = {"model": job.chat_model.name, "config": job.config.model_dump(mode="json")}
    write_json(out / SWEEP_FILE, about | sweep.as_json())
    return sweep


def _identity(job: SweepJob, texts: Sequence[Rendered]) -> dict[str, Any]:
    """What every cell depends on. Adapters and scales are in the cells' names, so that more can be added."""
    config = job.config.model_dump(mode="json", exclude={"scales", "suite", "coherence_floor"})
    return {
        "kind": "sweep",
        "model": job.chat_model.id,
        "dtype": job.chat_model.precision,
        "template": job.chat_model.renderer.template_hash,
        "suites": digest([asdict(suite) for suite in job.suites]),
        "judge": getattr(job.judge, "identity", job.judge.name),  # its rubrics decide too
        "criterion": asdict(job.criterion),
        "texts": digest([text.input_ids for text in texts]),
        "config": config,
    }


def _cell(
    swept: Swept, scale: float, found: Behaved, cost: TextCost, *, place: int, residual_norm: float
) -> Cell:
    """One adapter at one scale; ``place`` is the scale's in the curves."""
    adapter = swept.adapter
    norm = abs(scale) * adapter.effective_norm
    return Cell(
        **vars(found),
        direction=swept.name,
        kind=adapter.kind,
        layer=adapter.layer,
        scale=scale,
        effective_norm=norm,
        residual_share=norm / residual_norm if adapter.kind == "steering" else None,
        kl=at_point(cost.kl, place),
        loss=at_point(cost.loss, place),
        loss_rise=at_point(cost.rise, place),
    )


def _chat_cell(usual: Behaved, cost: TextCost) -> Cell:
    """The chat model: nothing is changed, so nothing rises."""
    return Cell(
        **vars(usual),
        direction=CHAT,
        kind=None,
        layer=None,
        scale=0.0,
        effective_norm=0.0,
        residual_share=None,
        kl=_NOTHING,
        loss=at_point(cost.chat, 0),
        loss_rise=_NOTHING,
    )


def _trained(job: SweepJob, training: LayerTraining, out: Path) -> list[Swept]:
    """One adapter a layer, each in a run folder of its own: finished ones are read."""
    return [
        Swept(
            TRAINED,
            train(
                job.chat_model,
                training.rows,
                training.recipe.model_copy(update={"layer": layer}),
                anchor=training.anchor,
                out=out / f"layer-{layer}",
                name=f"training at layer {layer}",
            ).adapter,
        )
        for layer in sorted(set(training.layers))
    ]


def _costs(
    job: SweepJob, texts: Sequence[Rendered], swept: Sequence[Swept]
) -> Iterator[tuple[Swept, TextCost]]:
    """What each adapter does to the texts; those behind the same layers share the frozen part."""
    frozen: FrozenRows | None = None
    for one in sorted(swept, key=lambda one: one.adapter.depth):
        if frozen is None or frozen.split.depth != one.adapter.depth:
            frozen = FrozenRows(job.chat_model, one.adapter.depth, texts, read="all", reference=True)
        yield one, text_cost(job.chat_model, frozen, one.adapter, job.config.scales)


def _kept_answers(
    job: SweepJob, adapter: Adapter | None, name: str, scale: float, path: Path
) -> list[Answer]:
    """The judged answers of one cell; kept before they are judged too, since both take long."""
    if path.exists():
        answers = read_answers(path)
    else:
        with until_written(path) as unfinished:
            answers = drawn_answers(
                job.chat_model,
                job.suites,
                adapter,
                job.config,
                name=name,
                scale=scale,
                unfinished=unfinished,
            )
            write_answers(path, answers)
    if not all(answer.scores for answer in answers):
        answers = judged(answers, job.judge)
        write_answers(path, answers)
    return answers


def _place(cell: Cell) -> dict[str, Any]:
    """Where a cell is in the sweep."""
    return {"direction": cell.direction, "layer": cell.layer, "scale": cell.scale}
