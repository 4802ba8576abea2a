"""Judging an answers table by a language model, as a run: the answers, Inspect's log, rates, agreement."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from narrows.errors import NarrowsError
from narrows.evaluation import CHAT, Answer, Criterion, Suite, summarise, write_answers
from narrows.evaluation.llm.judge import Judged, LLMJudge
from narrows.evaluation.rates.agreement import Agreement, agreement
from narrows.files import RUN_FILE, claim_run_folder, digest, write_json
from narrows.statistics import DifferenceInterval, RateInterval
from narrows.statistics.association import Estimate
from narrows.study.summarising import versions
from narrows.summary import Evaluation, Summary

ANSWERS, LOG = "answers.jsonl", "judged.eval"
QUOTES_A_SUITE = 3
FALLBACK = (
    "The judge {judge} gives no log-probabilities of whole numbers: its scores are the numbers that it "
    "wrote, not the probability-weighted means of the paper's protocol."
)


@dataclass(frozen=True)
class JudgedRun:
    """What a judging run measured.

    Attributes:
        judged: the answers with verdicts.
        evaluations: rates by solution, scale and suite; empty where the criterion's columns were not judged.
        agreement: with the verdicts that the answers had before; None if it was not asked for.
    """

    judged: Judged
    evaluations: list[Evaluation]
    agreement: Agreement | None


def judge_run(
    answers: Sequence[Answer],
    judge: LLMJudge,
    criterion: Criterion,
    suites: Sequence[Suite],
    out: Path,
    *,
    earlier: str | None = None,
    command: str = "",
) -> JudgedRun:
    """Judge a table and write a folder: answers, Inspect's log, summary, and what the page is made of.

    A run that was killed goes on where it was: every reply is kept as it comes.

    Args:
        answers: the table.
        judge: the judge; its log is written into the folder.
        criterion: what counts, for rates and agreement.
        suites: which suites there are, and which of them the anchor saw.
        out: the folder.
        earlier: what the judge of the table's present verdicts is called: the two are compared.
        command: shown in the report.

    Raises:
        RunFolderError: the folder holds another run.
        JudgeError, ConfigError, DataError: as :meth:`narrows.evaluation.llm.judge.LLMJudge.judge`.
    """
    columns = [rubric.name for rubric in judge.rubrics]
    config: dict[str, Any] = {
        "judge": judge.config.model_dump(mode="json"),
        "rubrics": {rubric.name: rubric.template for rubric in judge.rubrics},
        "criterion": criterion.name,
    }
    said = [(*_identity(one), one.text) for one in answers]
    claim_run_folder(out, config | {"answers": digest(said), "earlier": earlier})
    judge.log = out / LOG
    try:
        judged = judge.judge(answers)
    except NarrowsError:
        _give_back(out)
        raise
    write_answers(out / ANSWERS, judged.answers)
    compared = agreement(answers, judged.answers, criterion) if earlier is not None else None
    evaluations = _evaluations(judged.answers, criterion, suites, judge.name)
    Summary(evaluations=evaluations).save(out / "summary.json")
    reading = {
        "title": f"Answers judged by {judge.name}",
        "command": command,
        "intro": f"{len(answers)} answers, judged for: {', '.join(columns)}. What counts: {criterion.name}.",
        "quotes": _quotes(judged.answers),
        "agreements": [_as_rows(earlier, judge.name, compared)] if earlier is not None and compared else [],
        "config": config,
        "versions": versions(),
        "notes": [FALLBACK.format(judge=judge.name)] if judged.fell_back else [],
    }
    write_json(out / "report.json", reading)
    return JudgedRun(judged, evaluations, compared)


def _give_back(out: Path) -> None:
    """Let go of a folder in which nothing came about, so that another judge can be tried there."""
    if [entry.name for entry in out.iterdir()] == [RUN_FILE]:
        (out / RUN_FILE).unlink()


def _identity(answer: Answer) -> tuple[object, ...]:
    """What tells an answer from all others."""
    return (answer.model, answer.adapter, answer.scale, answer.suite, answer.question_id, answer.sample)


def _evaluations(
    answers: Sequence[Answer], criterion: Criterion, suites: Sequence[Suite], judge: str
) -> list[Evaluation]:
    """Rates of what was scored; a suite none of whose answers has a verdict has none."""
    scored = {one.suite for one in answers if criterion.shown(one.scores) is not None}
    rows = [one for one in answers if one.suite in scored]
    return summarise(rows, criterion, suites, judge) if rows else []


def _quotes(answers: Sequence[Answer]) -> list[dict[str, Any]]:
    """Some questions of each suite with the answers of each solution, evenly spread over the suite."""
    asked: dict[str, dict[str, list[Answer]]] = {}
    for one in answers:
        if one.sample == 0:
            asked.setdefault(one.suite, {}).setdefault(one.question_id, []).append(one)
    chosen = []
    for questions in asked.values():
        step = max(1, len(questions) // QUOTES_A_SUITE)
        chosen += list(questions.values())[::step][:QUOTES_A_SUITE]
    return [
        {
            "suite": rows[0].suite,
            "question": rows[0].question,
            "answers": {_role(one): one.text for one in rows},
            "scores": {_role(one): one.scores | one.reasons for one in rows},
        }
        for rows in chosen
    ]


def _role(answer: Answer) -> str:
    """What a column of quoted answers is called."""
    return (
        answer.adapter
        if answer.adapter == CHAT or answer.scale == 1
        else f"{answer.adapter} × {answer.scale:g}"
    )


def _as_rows(first: str, second: str, found: Agreement) -> dict[str, Any]:
    """An agreement as the report reads it."""
    moved = found.moved
    return {
        "first": first,
        "second": second,
        "criterion": found.criterion.name,
        "matched": found.matched,
        "n": found.n,
        "first_rate": _estimate(found.rate_a),
        "second_rate": _estimate(found.rate_b),
        "moved": _estimate(moved),
        "kappa": _estimate(found.kappa),
        "columns": [
            {
                "column": one.column,
                "n": one.n,
                "spearman": _estimate(one.spearman),
                "shift": _estimate(one.shift),
            }
            for one in found.columns.values()
        ],
    }


def _estimate(found: RateInterval | DifferenceInterval | Estimate | None) -> dict[str, Any] | None:
    """A number with its interval, of whichever kind."""
    if found is None:
        return None
    value = (
        found.rate
        if isinstance(found, RateInterval)
        else found.difference
        if isinstance(found, DifferenceInterval)
        else found.value
    )
    whole = found.low is not None and found.high is not None
    return {"value": value, "ci95": [found.low, found.high] if whole else None}
