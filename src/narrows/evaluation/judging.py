"""Judges add score columns to answers; :mod:`narrows.evaluation.criteria` says which scores count."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Protocol

from narrows.errors import DataError
from narrows.evaluation.answers import Answer
from narrows.evaluation.criteria import MISALIGNED, TECHNICAL, Criterion

__all__ = ["MISALIGNED", "TECHNICAL", "Criterion", "Judge", "Unscored", "Verdict", "judged", "with_verdicts"]


class Unscored(StrEnum):
    """Why a judge gave no number."""

    REFUSAL = "refusal"
    """It said that the answer is a refusal."""
    CODE = "code"
    """It said that the answer is program code."""
    NONE = "none"
    """It said nothing that could be understood."""


Verdict = float | Unscored | None
"""A score, 0-100, or why there is none; None is :attr:`Unscored.NONE`."""


class Judge(Protocol):
    """Anything that scores answers: the microworld's oracle, a language model, a person's file."""

    @property
    def name(self) -> str:
        """What the results are filed under."""

    def __call__(self, answers: Sequence[Answer]) -> Sequence[Mapping[str, Verdict]]:
        """Verdicts by column; one mapping an answer, in order."""


def judged(answers: Sequence[Answer], judge: Judge) -> list[Answer]:
    """The same answers with the judge's score columns added; columns of the same name are replaced.

    Raises:
        DataError: the judge returned another number of rows, or a score outside 0-100.
    """
    columns = judge(answers)
    if len(columns) != len(answers):
        raise DataError(
            f"The judge {judge.name!r} scored {len(columns)} of {len(answers)} answers; each needs a row."
        )
    for answer, verdicts in zip(answers, columns, strict=True):
        for column, verdict in verdicts.items():
            if isinstance(verdict, float | int) and not 0 <= verdict <= 100:
                raise DataError(
                    f"The judge {judge.name!r} gave {column}={verdict} to question {answer.question_id!r}, "
                    f"sample {answer.sample}; scores are 0-100, or None."
                )
    return [with_verdicts(answer, verdicts) for answer, verdicts in zip(answers, columns, strict=True)]


def with_verdicts(answer: Answer, verdicts: Mapping[str, Verdict]) -> Answer:
    """The answer with verdicts as score columns, and with the reasons where there is no score."""
    missing = {
        column: Unscored(verdict or Unscored.NONE)
        for column, verdict in verdicts.items()
        if verdict is None or isinstance(verdict, str)
    }
    scores: dict[str, float | None] = {
        column: None if column in missing else float(verdict)  # type: ignore[arg-type]
        for column, verdict in verdicts.items()
    }
    kept = {column: reason for column, reason in answer.reasons.items() if column not in verdicts}
    return replace(
        answer,
        scores=answer.scores | scores,
        reasons=kept | {column: str(reason) for column, reason in missing.items()},
    )
