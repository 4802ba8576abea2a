"""Predictions and how they are decided: by where the interval of each number lies.

A prediction of one clause holds if its whole interval is on the predicted side, one of several if all do.
"""

from dataclasses import dataclass
from typing import Literal

from narrows.study.worlds.row import Measured

Verdict = Literal["held", "failed", "inconclusive", "not measured"]


@dataclass(frozen=True)
class Clause:
    """One number of a prediction.

    Attributes:
        says: what was predicted.
        found: what came out; None if it could not be measured.
        low: the predicted side: the number is above this.
        high: it is below this.
        holds: instead of these: the number's interval holds this.
        bare: whether it is a number that has no interval.
    """

    says: str
    found: Measured | None
    low: float | None = None
    high: float | None = None
    holds: float | None = None
    bare: bool = False

    @property
    def verdict(self) -> Verdict:
        """Held if the whole interval is where it was predicted, failed if none of it is.

        Where there should be an interval and none could be taken, nothing is decided.
        """
        if self.found is None:
            return "not measured"
        one = self.found
        ends = (one.low, one.high) if not self.bare else (one.value, one.value)
        if ends[0] is None or ends[1] is None:
            return "inconclusive"
        if self.holds is not None:
            return "held" if ends[0] <= self.holds <= ends[1] else "failed"
        low = -float("inf") if self.low is None else self.low
        high = float("inf") if self.high is None else self.high
        if low < ends[0] and ends[1] < high:
            return "held"
        return "failed" if ends[1] < low or ends[0] > high else "inconclusive"


@dataclass(frozen=True)
class Prediction:
    """A prediction and its clauses."""

    number: int
    title: str
    clauses: tuple[Clause, ...]

    @property
    def verdict(self) -> Verdict:
        """Failed if a clause failed, held if all held; else not decided."""
        verdicts = [one.verdict for one in self.clauses]
        if not verdicts or all(one == "not measured" for one in verdicts):
            return "not measured"
        if "failed" in verdicts:
            return "failed"
        return "held" if all(one == "held" for one in verdicts) else "inconclusive"
