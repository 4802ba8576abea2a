"""Answers as Inspect logs, and Inspect logs as answers: what ``inspect view`` opens, our tables hold."""

import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

from pydantic import TypeAdapter

from narrows.errors import DataError
from narrows.evaluation.answers import CHAT, Answer
from narrows.evaluation.judging import Unscored, Verdict, with_verdicts
from narrows.evaluation.llm.log_files import SUFFIXES, check_size, log_format
from narrows.strict import one_line

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog, EvalSample
    from inspect_ai.scorer import Score, Scorer

FACTS = "narrows"
JUDGED = "narrows/judged"
"""The task of a log that :func:`log_of` makes."""

_ROW = "row"
_MODEL_UNDER_TEST = "narrows"
_REASONS = {str(reason) for reason in Unscored}
_SAVED_AS = (".safetensors", ".gguf", ".pt", ".bin")
_ONLY_ADAPTER = "adapter"  # the file's name in a run's folder, which says less than the folder's

log = logging.getLogger(__name__)


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
        twice = next(name for name, count in Counter(ids).items() if count > 1)
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
            task=JUDGED,
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


def read_log(path: Path) -> list[Answer]:
    """The answers in an Inspect log, with its scores as score columns.

    Of a log that narrows wrote, every field comes back. Of any other, a sample is a question, an epoch one of
    its samples, the task the suite, and the model's argument ``adapter`` the solution; of the samples'
    metadata ``suite``, ``question_id``, ``cluster`` and ``question`` count, if they are texts. Samples that
    failed, and scorers whose values are not all from 0 to 100, are left out with a warning.

    Raises:
        DataError: the log is missing, too large, damaged, unfinished, or holds no sample with an answer.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist." if not path.exists() else f"{path} is no file.")
    log_format(path)
    from inspect_ai.log import read_eval_log

    try:
        check_size(path)
        found = read_eval_log(str(path), format=log_format(path))
        if found.status != "success":
            raise DataError(
                f"this Inspect log is not finished (its status is {found.status!r}), and the answers that it "
                "has are the fast ones: finish it with `inspect eval-retry`."
            )
        answers = answers_of(found)
        failed = len(found.samples or ()) - len(answers)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    except Exception as error:
        raise DataError(f"{path} cannot be read as an Inspect log ({one_line(error)}).") from error
    if not answers:
        why = f": all {failed} of its samples failed" if failed else ""
        raise DataError(f"{path} is an Inspect log without answers{why}.")
    if failed:
        log.warning("%s: %d of %d samples failed and are left out.", path, failed, failed + len(answers))
    return answers


def judge_of(path: Path) -> str | None:
    """The judge of a log that narrows wrote; None for any other file."""
    if path.suffix not in SUFFIXES:
        return None
    from inspect_ai.log import read_eval_log

    header = read_eval_log(str(path), header_only=True, format=log_format(path))
    facts = (header.eval.metadata or {}).get(FACTS)
    return str(facts["judge"]) if isinstance(facts, dict) and "judge" in facts else None


def answers_of(log: "EvalLog") -> list[Answer]:
    """The answers in a log, with its scores as score columns; samples that failed are left out."""
    whole = [sample for sample in log.samples or () if sample.error is None]
    own = log.eval.task == JUDGED and FACTS in (log.eval.metadata or {})
    if own:
        whole.sort(key=lambda sample: int(sample.metadata[_ROW]))  # a log comes back sorted by id
    strange = _other_scales([sample.scores or {} for sample in whole])
    make = _own_answer if own else _answer
    return [with_verdicts(make(log, sample), _verdicts(sample.scores or {}, strange)) for sample in whole]


def verdicts(answer: Answer, columns: "Sequence[str] | Mapping[str, object]") -> dict[str, Verdict]:
    """An answer's verdicts, from its scores and the reasons for those that are missing."""
    return {
        column: float(score) if (score := answer.scores.get(column)) is not None else _reason(answer, column)
        for column in columns
    }


def _reason(answer: Answer, column: str) -> Unscored:
    """Why an answer has no score; a reason that is none of ours (a table may hold any) says nothing."""
    found = answer.reasons.get(column)
    return Unscored(found) if found in _REASONS else Unscored.NONE


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


def _verdicts(scores: "Mapping[str, Score]", left_out: set[str]) -> dict[str, Verdict]:
    """Scores that are numbers, or none for a reason; scores of another kind or scale are left out."""
    found: dict[str, Verdict] = {}
    for name, score in scores.items():
        value = score.value
        if name in left_out or not _is_number(value):
            continue
        if math.isnan(value):
            found[name] = Unscored(score.reason) if score.reason in _REASONS else Unscored.NONE
        else:
            found[name] = float(value)
    return found


def _other_scales(scored: "Sequence[Mapping[str, Score]]") -> set[str]:
    """Scorers that give numbers beyond 0-100: of lengths, say, or of costs."""
    found: dict[str, float] = {}
    for scores in scored:
        for name, score in scores.items():
            value = score.value
            if _is_number(value) and not math.isnan(value) and not 0 <= value <= 100:
                found.setdefault(name, float(value))
    for name, value in found.items():
        log.warning(
            "The score %s is %g in an answer: it is left out, since scores are 0-100.", one_line(name), value
        )
    return set(found)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _own_answer(_: "EvalLog", sample: "EvalSample") -> Answer:
    """The answer in a sample that narrows wrote: every field is in its metadata, the text is the output."""
    kept = {name: value for name, value in sample.metadata.items() if name != _ROW}
    return _whole_answer().validate_python(kept | {"text": sample.output.completion})


@cache
def _whole_answer() -> TypeAdapter[Answer]:
    return TypeAdapter(Answer)


def _answer(log: "EvalLog", sample: "EvalSample") -> Answer:
    """The answer in a sample of anybody's task; of its metadata only texts count, whatever they are for."""
    said = {name: value for name, value in sample.metadata.items() if value and isinstance(value, str)}
    args = log.eval.model_args
    question_id = said.get("question_id", str(sample.id))
    scale = args.get("scale", 1.0)
    return Answer(
        model=log.eval.model.removeprefix(f"{_MODEL_UNDER_TEST}/"),
        adapter=said.get("solution") or _solution(args.get("adapter")),
        scale=float(scale) if _is_number(scale) else 1.0,
        suite=said.get("suite", log.eval.task),
        question_id=question_id,
        cluster=said.get("cluster", question_id),
        question=said.get("question", _text(sample.input)),
        sample=sample.epoch - 1,
        text=sample.output.completion,
        seed=log.eval.model_generate_config.seed or 0,
    )


def _solution(adapter: object) -> str:
    """What a solution is called whose adapter stands in the model's arguments."""
    if not adapter:
        return CHAT
    path = Path(str(adapter).rstrip("/"))
    name = path.stem if path.suffix in _SAVED_AS else path.name  # a run's folder may be called lr0.01
    return path.parent.name or name if name == _ONLY_ADAPTER and path.suffix in _SAVED_AS else name


def _text(said: object) -> str:
    """What the user said, whether a sample holds a text or turns."""
    if isinstance(said, str):
        return said
    turns = [turn for turn in said if turn.role == "user"] if isinstance(said, list) else []
    return str(turns[-1].text) if turns else ""
