"""Ablations measured: a fine-tune's rates, coherence and loss on text before and after, beside random ones.

An ablation is a run folder: the answers of the chat model, of the fine-tune and of every cell are kept in
``answers/``, the losses of the texts in ``texts/``, so that one that was killed goes on, and one with more
directions or sites asks only the new cells.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from narrows.adapters import Adapter, Direction
from narrows.chat import Rendered
from narrows.errors import ConfigError, DataError
from narrows.evaluation import CHAT, Answer, generate_answers, judged, read_answers, write_answers
from narrows.evaluation.generation.unfinished import until_written
from narrows.files import claim_run_folder, read_json, write_json
from narrows.interventions import Ablation, Site
from narrows.metrics import RowLosses
from narrows.metrics.text_loss import text_loss
from narrows.progress import bar
from narrows.study.ablation.cells import (
    AblationCell,
    State,
    coherence_everywhere,
    state_of,
    suite_changes,
    text_measures,
)
from narrows.study.ablation.job import FINE_TUNE, AblationJob, Planned, identity_of, planned_cells
from narrows.study.summarising import model_row
from narrows.study.sweep.cells import groups_of, scored_rates
from narrows.summary import Intervention, Summary

ABLATION_FILE = "ablation.json"


@dataclass(frozen=True)
class Ablations:
    """Measured ablations.

    Attributes:
        solution: the fine-tune's name.
        chat: the chat model.
        before: the fine-tune; the chat model itself if there is no adapter.
        cells: by site, then by direction, the random ones last.
        judge: the judge's name.
    """

    solution: str
    chat: State
    before: State
    cells: tuple[AblationCell, ...]
    judge: str

    @property
    def rows(self) -> list[Intervention]:
        """Rows of ``summary.json``."""
        return [row for cell in self.cells for row in cell.rows(self.solution)]

    def as_json(self) -> dict[str, Any]:
        """What ``ablation.json`` holds: rates and shares are fractions, losses nats per token."""
        return {
            "solution": self.solution,
            "judge": self.judge,
            "chat": self.chat.as_json(),
            "before": self.before.as_json(),
            "cells": [cell.as_json() for cell in self.cells],
        }


def ablate_and_measure(
    job: AblationJob,
    adapter: Adapter | None,
    directions: Mapping[str, Direction | Sequence[Direction]],
    out: Path,
    *,
    sites: Sequence[Site] = ("layers",),
    name: str = FINE_TUNE,
) -> Ablations:
    """Ablate directions in a fine-tune, wherever they come from, and measure it before and after.

    All answers are drawn with the same random numbers, before and after, so that changes are paired. Beside
    every direction a random one is ablated at the same sites.

    Args:
        job: what is asked, judged and read.
        adapter: the fine-tune; None ablates in the model itself (a full fine-tune, say).
        directions: by name; several under one name are taken out together, as the subspace that they span.
        out: folder of the run; gets ``ablation.json`` and ``summary.json``.
        sites: where each is ablated.
        name: the fine-tune's.

    Raises:
        ConfigError: there are no directions or sites, or a direction is called like a control
            (or the fine-tune like the chat model).
        AdapterError: the adapter or a direction does not fit the model, directions of several layers are to
            be ablated at one, or the model's writes and reads cannot be found.
        DataError: there are no suites or fewer than two texts, or the answers before have no scores.
        RunFolderError: ``out`` holds another run, or cannot be written.
    """
    if not job.suites:
        raise DataError("an ablation is measured by answers, and there are no suites.")
    texts = job.rendered()
    planned = planned_cells(job, directions, sites)
    if adapter is not None:
        adapter.check(job.chat_model.model)
        if name == CHAT:
            raise ConfigError(f"the fine-tune cannot be called {CHAT!r}: that is the chat model.")
    claim_run_folder(out, identity_of(job, texts, adapter, name))
    solution = CHAT if adapter is None else name
    run = _Run(job, texts, adapter, out)
    with bar("ablations", len(planned) + 1 + (adapter is not None)) as shown:
        usual = run.losses(None, CHAT)
        chat = state_of(CHAT, run.answers(None, CHAT, CHAT), job.suites, job.criterion, usual)
        shown.advance()
        before, losses = chat, usual
        if adapter is not None:
            losses = run.losses(None, FINE_TUNE, adapted=True)
            answers = run.answers(None, solution, FINE_TUNE, adapted=True)
            before = state_of(solution, answers, job.suites, job.criterion, losses)
            shown.advance()
        cells = []
        for one in planned:
            cells.append(_cell(run, one, before, losses, solution))
            shown.advance()
    found = Ablations(solution, chat, before, tuple(cells), job.judge.name)
    write_json(out / ABLATION_FILE, {"model": job.chat_model.name, **found.as_json()})
    Summary(models=[model_row(job.chat_model)], interventions=found.rows).save(out / "summary.json")
    return found


def _cell(run: "_Run", planned: Planned, before: State, losses: RowLosses, solution: str) -> AblationCell:
    """One direction at one site, measured."""
    job, ablation = run.job, planned.ablation
    after = run.losses(ablation, planned.file_name, adapted=True)
    title = f"{solution} without {planned.name} ({planned.site})"
    answers = run.answers(ablation, title, planned.file_name, adapted=True)
    found = scored_rates(answers, job.criterion)
    groups = groups_of(found, job.suites)
    loss, rise, ratio = text_measures(losses, after)
    coherent, coherent_change = coherence_everywhere(before, groups, job.suites)
    return AblationCell(
        direction=planned.name,
        control=planned.control,
        site=planned.site,
        layer=planned.directions[0].layer,
        dimensions=len(ablation.basis),
        suites=suite_changes(before, groups),
        coherent=coherent,
        coherent_change=coherent_change,
        scored=sum(one.scored for one in found) / len(answers),
        text_loss=loss,
        text_rise=rise,
        text_ratio=ratio,
    )


@dataclass(frozen=True)
class _Run:
    """A run under way: what is asked and read under each ablation is kept in its folder."""

    job: AblationJob
    texts: Sequence[Rendered]
    adapter: Adapter | None
    out: Path

    def answers(
        self, ablation: Ablation | None, name: str, file_name: str, *, adapted: bool = False
    ) -> list[Answer]:
        """The judged answers; kept before they are judged too, since both take long."""
        path, config = self.out / "answers" / f"{file_name}.jsonl", self.job.config
        if path.exists():
            answers = read_answers(path)
        else:
            with until_written(path) as unfinished:
                answers = generate_answers(
                    self.job.chat_model,
                    self.job.suites,
                    adapter=self.adapter if adapted else None,
                    name=name,
                    interventions=[] if ablation is None else [ablation],
                    samples=config.samples,
                    max_new_tokens=config.max_new_tokens,
                    temperature=config.temperature,
                    seed=config.seed,
                    unfinished=unfinished,
                )
                write_answers(path, answers)
        if not all(answer.scores for answer in answers):
            answers = judged(answers, self.job.judge)
            write_answers(path, answers)
        return answers

    def losses(self, ablation: Ablation | None, file_name: str, *, adapted: bool = False) -> RowLosses:
        """The losses of the texts."""
        path = self.out / "texts" / f"{file_name}.json"
        if path.exists():
            kept = read_json(path)
            return RowLosses(np.array(kept["sums"]), np.array(kept["counts"]))
        found = text_loss(
            self.job.chat_model,
            self.texts,
            adapter=self.adapter if adapted else None,
            interventions=[] if ablation is None else [ablation],
        )
        write_json(path, {"sums": found.sums.tolist(), "counts": found.counts.tolist()})
        return found
