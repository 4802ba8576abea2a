"""Judging an answers table by a language model, as a run: the answers, Inspect's log, rates, agreement."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from narrows.errors import DataError, NarrowsError
from narrows.evaluation import CHAT, Answer, Criterion, Suite, summarise, write_answers
from narrows.evaluation.llm.judge import Judged, LLMJudge
from narrows.evaluation.questions import is_other_domain
from narrows.evaluation.rates.agreement import Agreement, agreement
from narrows.files import RUN_FILE, claim_run_folder, digest, write_json
from narrows.statistics import DifferenceInterval, RateInterval
from narrows.statistics.association import Estimate
from narrows.study.summarising import versions
from narrows.summary import Evaluation, Summary

LIMITS = ("connections", "timeout_s", "retries")
"""Fields of a judge's configuration that change how it is asked and not what it replies."""

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
        DataError: there are no earlier verdicts to compare with, or a suite is not among ``suites``; before
            the judge is asked.
        JudgeError, ConfigError, DataError: as :meth:`narrows.evaluation.llm.judge.LLMJudge.judge`.
    """
    columns = judge.columns
    if earlier is not None and not any(column in one.scores for one in answers for column in columns):
        raise DataError(
            f"The answers have no scores {', '.join(columns)} to compare with: judge them by `narrows judge`."
        )
    if strangers := {one.suite for one in answers} - {suite.name for suite in suites}:
        raise DataError(f"The suites do not say whether the anchor saw {', '.join(sorted(strangers))}.")
    config: dict[str, Any] = {
        "judge": judge.config.model_dump(mode="json"),
        "rubrics": {rubric.name: rubric.template for rubric in judge.rubrics},
        "criterion": criterion.name,
    }
    said = [(*_identity(one), one.question, one.text) for one in answers]
    claim_run_folder(out, _decisive(config) | {"answers": digest(said), "earlier": earlier})
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


def _decisive(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration without what changes no verdict: a run may go on with fewer connections."""
    judge = {name: value for name, value in config["judge"].items() if name not in LIMITS}
    return config | {"judge": judge}


def _identity(answer: Answer) -> tuple[object, ...]:
    """What tells an answer from all others."""
    return (answer.model, answer.adapter, answer.scale, answer.suite, answer.question_id, answer.sample)


def _evaluations(
    answers: Sequence[Answer], criterion: Criterion, suites: Sequence[Suite], judge: str
) -> list[Evaluation]:
    """Rates of what was scored.

    A suite none of whose answers has a verdict has none. Neither has a solution there that was not scored
    (a broken one says nothing that can be judged), nor has it macro means: they would be over other domains
    than everybody else's.
    """
    asked: dict[tuple[str, str, float], dict[str, list[Answer]]] = {}
    for one in answers:
        asked.setdefault((one.model, one.adapter, one.scale), {}).setdefault(one.suite, []).append(one)
    judged = {one.suite for one in answers if criterion.shown(one.scores) is not None}
    found = []
    for by_suite in asked.values():
        scored = {
            name: rows
            for name, rows in by_suite.items()
            if any(criterion.shown(one.scores) is not None for one in rows)
        }
        rows = summarise([one for some in scored.values() for one in some], criterion, suites, judge)
        whole = judged & {name for name in by_suite if is_other_domain(name)} <= scored.keys()
        found += [row for row in rows if whole or row.suite in scored]
    return found


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
