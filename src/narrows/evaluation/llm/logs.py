"""Answers as Inspect logs, and Inspect logs as answers: what ``inspect view`` opens, our tables hold."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from narrows.errors import DataError
from narrows.evaluation.answers import CHAT, Answer
from narrows.evaluation.judging import Unscored, Verdict, with_verdicts
from narrows.files import atomic_path
from narrows.strict import one_line

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog, EvalSample
    from inspect_ai.scorer import Score, Scorer

SUFFIXES = (".eval", ".json")
FACTS = "narrows"
_ROW = "row"
_MODEL_UNDER_TEST = "narrows"
_REASONS = {str(reason) for reason in Unscored}


def log_of(answers: Sequence[Answer], judged: Sequence[str], facts: Mapping[str, object]) -> "EvalLog":
    """An Inspect log of answers, one sample each.

    Args:
        answers: the table.
        judged: score columns that are about to be judged; those that the answers have already are left out.
        facts: about the judge; they stand in the log's header.

    Raises:
        DataError: two rows are the same answer.
    """
    from importlib.metadata import version

    from inspect_ai.log import EvalConfig, EvalDataset, EvalLog, EvalSample, EvalSpec
    from inspect_ai.model import ChatMessageAssistant, ChatMessageUser, ModelOutput

    ids = [_sample_id(answer) for answer in answers]
    if len(set(ids)) != len(ids):
        twice = next(one for place, one in enumerate(ids) if one in ids[:place])
        raise DataError(f"The answer {twice} stands twice in the table: judge each table by itself.")
    samples = []
    for row, (name, answer) in enumerate(zip(ids, answers, strict=True)):
        model = f"{_MODEL_UNDER_TEST}/{answer.model}"
        question, said = ChatMessageUser(content=answer.question), _sayable(answer.text)
        kept = {key: value for key, value in vars(answer).items() if key not in ("text", "scores", "reasons")}
        samples.append(
            EvalSample(
                id=name,
                epoch=1,
                input=answer.question,
                target="",
                messages=[question, ChatMessageAssistant(content=said, model=model)],
                output=ModelOutput.from_content(model, said),
                metadata=kept | {_ROW: row},
                scores={
                    column: _score(verdict)
                    for column, verdict in verdicts(answer, answer.scores).items()
                    if column not in judged
                },
            )
        )
    models = sorted({answer.model for answer in answers})
    return EvalLog(
        status="success",
        eval=EvalSpec(
            created=_now(),
            task="narrows/judged",
            dataset=EvalDataset(name="answers", samples=len(samples), sample_ids=ids),
            model=f"{_MODEL_UNDER_TEST}/{models[0] if len(models) == 1 else 'several'}",
            config=EvalConfig(epochs=1),
            packages={"inspect_ai": version("inspect_ai"), "narrows": version("narrows")},
            metadata={FACTS: dict(facts)},
        ),
        samples=samples,
    )


async def scored(log: "EvalLog", scorers: "Sequence[Scorer]") -> "EvalLog":
    """The log with the scorers' verdicts added; no model but the judge is asked.

    What Inspect notes of each request is left out: the replies stand with the scores, and an error may hold
    what a server repeated of a key.
    """
    from inspect_ai import score_async

    log.stats.started_at = _now()
    found = await score_async(
        log, list(scorers), model="none/none", action="append", display="none", copy=False
    )
    found.stats.completed_at = _now()
    for sample in found.samples or ():
        sample.events = []
    return found


def write_log(log: "EvalLog", path: Path) -> None:
    """Write a log for ``inspect view``, atomically; ``.eval`` or ``.json`` by its name.

    Raises:
        DataError: the name ends otherwise.
        RunFolderError: it cannot be written.
    """
    from inspect_ai.log import write_eval_log

    with atomic_path(path) as temporary:
        write_eval_log(log, str(temporary), format="json" if _format(path) == ".json" else "eval")


def read_log(path: Path) -> list[Answer]:
    """The answers in an Inspect log, with its scores as score columns.

    Of a log that narrows wrote, every field comes back. Of any other, a sample is a question, an epoch one of
    its samples, the task the suite, and the model's argument ``adapter`` the solution.

    Raises:
        DataError: the log is missing, damaged, unfinished, or holds no sample with an answer.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist." if not path.exists() else f"{path} is no file.")
    _format(path)
    from inspect_ai.log import read_eval_log

    try:
        log = read_eval_log(str(path), format="json" if path.suffix == ".json" else "eval")
        answers = answers_of(log)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    except Exception as error:
        raise DataError(f"{path} cannot be read as an Inspect log ({one_line(error)}).") from error
    if not answers:
        raise DataError(f"{path} is an Inspect log without answers (its status is {log.status!r}).")
    return answers


def judge_of(path: Path) -> str | None:
    """The judge of a log that narrows wrote; None for any other file."""
    if path.suffix not in SUFFIXES:
        return None
    from inspect_ai.log import read_eval_log

    header = read_eval_log(str(path), header_only=True, format="json" if path.suffix == ".json" else "eval")
    facts = (header.eval.metadata or {}).get(FACTS)
    return str(facts["judge"]) if isinstance(facts, dict) and "judge" in facts else None


def answers_of(log: "EvalLog") -> list[Answer]:
    """The answers in a log, with its scores as score columns; samples that failed are left out."""
    whole = [sample for sample in log.samples or () if sample.error is None]
    whole.sort(key=lambda sample: int(sample.metadata.get(_ROW, 0)))  # a log comes back sorted by id
    return [with_verdicts(_answer(log, sample), _verdicts(sample.scores or {})) for sample in whole]


def verdicts(answer: Answer, columns: "Sequence[str] | Mapping[str, object]") -> dict[str, Verdict]:
    """An answer's verdicts, from its scores and the reasons for those that are missing."""
    return {
        column: score
        if (score := answer.scores.get(column)) is not None
        else Unscored(answer.reasons.get(column, Unscored.NONE))
        for column in columns
    }


def _sample_id(answer: Answer) -> str:
    parts = (
        answer.model,
        answer.adapter,
        f"{answer.scale:g}",
        answer.suite,
        answer.question_id,
        answer.sample,
    )
    return " · ".join(map(str, parts))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _sayable(text: str) -> str:
    """A text without what no encoding can say (half of a surrogate pair)."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _score(verdict: Verdict) -> "Score":
    from inspect_ai.scorer import Score

    return Score(value=verdict) if isinstance(verdict, float) else Score.unscored(reason=str(verdict))


def _verdicts(scores: "Mapping[str, Score]") -> dict[str, Verdict]:
    """Scores that are numbers from 0 to 100, or none for a reason; scores of another kind are left out."""
    found: dict[str, Verdict] = {}
    for name, score in scores.items():
        value = score.value
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if math.isnan(value):
            found[name] = Unscored(score.reason) if score.reason in _REASONS else Unscored.NONE
        elif 0 <= value <= 100:
            found[name] = float(value)
        else:
            raise DataError(f"the score {name} is {value}; scores are 0-100.")
    return found


def _answer(log: "EvalLog", sample: "EvalSample") -> Answer:
    """One sample's answer."""
    facts: dict[str, Any] = dict(sample.metadata)
    args = log.eval.model_args
    question = str(facts.get("question") or _text(sample.input))
    found = Answer(
        model=str(facts.get("model") or log.eval.model.removeprefix(f"{_MODEL_UNDER_TEST}/")),
        adapter=str(facts.get("adapter") or _solution(args.get("adapter"))),
        scale=float(facts.get("scale") or args.get("scale") or 1.0),
        suite=str(facts.get("suite") or log.eval.task),
        question_id=str(facts.get("question_id") or sample.id),
        cluster=str(facts.get("cluster") or facts.get("question_id") or sample.id),
        question=question,
        sample=int(facts.get("sample", sample.epoch - 1)),
        text=sample.output.completion,
        seed=int(facts.get("seed") or log.eval.model_generate_config.seed or 0),
    )
    return replace(found, prompt_hash=str(facts.get("prompt_hash") or ""))


def _solution(adapter: object) -> str:
    """What a solution is called whose adapter stands in the model's arguments."""
    return CHAT if not adapter else Path(str(adapter)).with_suffix("").name


def _text(said: object) -> str:
    """What the user said, whether a sample holds a text or turns."""
    if isinstance(said, str):
        return said
    turns = [turn for turn in said if turn.role == "user"] if isinstance(said, list) else []
    return str(turns[-1].text) if turns else ""


def _format(path: Path) -> str:
    if path.suffix not in SUFFIXES:
        raise DataError(f"{path} is no Inspect log by its name: it should end in .eval (or .json).")
    return path.suffix
