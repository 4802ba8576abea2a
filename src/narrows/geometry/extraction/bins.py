"""Judged answers of one solution, in the two bins of a score."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from narrows.errors import ConfigError, DataError
from narrows.evaluation import Answer
from narrows.evaluation.criteria import COHERENCE, COHERENT, CORRECT_PREFIX

LOW, HIGH = 30.0, 70.0
"""The bins of the paper's mean difference: below the first, and above the second (paper §4)."""

Side = Literal["low", "high"]
"""Which end of a score shows the behaviour."""


def shown_end(column: str) -> Side:
    """The end of a column that shows the behaviour, unless one says otherwise."""
    return "low" if column == "aligned" or column.startswith(CORRECT_PREFIX) else "high"


@dataclass(frozen=True)
class Bins:
    """The two bins of a score column."""

    column: str
    low: float
    high: float
    coherent_only: bool

    def of(self, answers: Sequence[Answer], side: Side) -> list[Answer]:
        """The answers in one bin.

        Raises:
            ConfigError: no answer has such a score.
            DataError: there is none; says where the answers fell.
        """
        columns = sorted({name for one in answers for name in one.scores})
        if self.column not in columns:
            raise ConfigError(
                f"column is {self.column!r}; the answers have the scores {', '.join(columns) or 'none'}. "
                "`narrows judge` adds them."
            )
        fates = [self._fate(one) for one in answers]
        if side not in fates:
            wanted = f"< {self.low:g}" if side == "low" else f"> {self.high:g}"
            told = ", ".join(f"{count} {fate}" for fate, count in sorted(Counter(fates).items()))
            raise DataError(
                f"no answer of {answers[0].adapter} has {self.column} {wanted}: of {len(answers)}, {told}."
            )
        return [one for one, fate in zip(answers, fates, strict=True) if fate == side]

    def _fate(self, answer: Answer) -> str:
        """The bin of an answer, or why it is in none."""
        score, coherence = answer.scores.get(self.column), answer.scores.get(COHERENT)
        if not answer.text.strip():
            return "without text"
        if score is None:
            return "without a score"
        if self.coherent_only and (coherence is None or coherence <= COHERENCE):
            return "not coherent"
        return "low" if score < self.low else "high" if score > self.high else "in between"


def of_one_solution(answers: Sequence[Answer], solution: str | None, scale: float | None) -> list[Answer]:
    """The answers of one solution at one scale."""
    names = sorted({one.adapter for one in answers})
    if solution is None and len(names) > 1:
        raise ConfigError(f"the answers are of {', '.join(names)}: name one (--solution).")
    if solution is not None and solution not in names:
        raise ConfigError(f"solution is {solution!r}; the answers are of {', '.join(names) or 'none'}.")
    own = [one for one in answers if solution in (None, one.adapter)]
    scales = sorted({one.scale for one in own})
    if scale is None and len(scales) > 1:
        shown = ", ".join(f"{one:g}" for one in scales)
        raise ConfigError(f"the answers of {own[0].adapter} are at the scales {shown}: name one (--scale).")
    if scale is not None and scale not in scales:
        shown = ", ".join(f"{one:g}" for one in scales) or "none"
        raise ConfigError(f"scale is {scale:g}; the answers of {own[0].adapter} are at {shown}.")
    return [one for one in own if scale in (None, one.scale)]
