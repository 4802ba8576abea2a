"""What a family of worlds shows: the rows of its runs, what goes together, and what was predicted."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from narrows.study.worlds.predictions import PREDICTED, Prediction
from narrows.study.worlds.relations import EARLIER, METRICS, Flip, Relation, companions, flip, relation
from narrows.study.worlds.row import Row


@dataclass(frozen=True)
class FamilyResults:
    """All numbers of a family, as far as it is done.

    Attributes:
        family: name.
        steps: of a whole pre-training.
        rows: one a run.
        metrics: how the three metrics go with the preference, over compared worlds whose authors have a
            conduct.
        earlier: the same of what is known before any fine-tuning.
        ceilings: the same of the preference itself, of another seed's model or for another target in the same
            model: how much of it the world decides.
        flip: where the preference flips with the ratio of shares.
        predictions: with their verdicts; empty for a family of which nothing was predicted.
    """

    family: str
    steps: int
    rows: Sequence[Row]
    metrics: Sequence[Relation]
    earlier: Sequence[Relation]
    ceilings: Sequence[Relation]
    flip: Flip
    predictions: Sequence[Prediction]

    @classmethod
    def of(cls, family: str, steps: int, rows: Sequence[Row]) -> "FamilyResults":
        """Take everything from the rows."""
        some = [row for row in rows if row.compared and row.prior is not None]
        return cls(
            family,
            steps,
            rows,
            [relation(some, name, column) for name, column in METRICS.items()],
            [relation(some, name, column) for name, column in EARLIER.items()],
            [relation(some, name, column) for name, column in companions(some).items()],
            flip(some),
            PREDICTED[family](rows) if family in PREDICTED else [],
        )

    @property
    def relations(self) -> Sequence[Relation]:
        """All of them."""
        return (*self.metrics, *self.earlier, *self.ceilings)

    def as_json(self) -> dict[str, Any]:
        """Plain values; verdicts stand beside the clauses."""
        return {
            "family": self.family,
            "steps": self.steps,
            "predictions": [
                {
                    "number": one.number,
                    "title": one.title,
                    "verdict": one.verdict,
                    "clauses": [asdict(clause) | {"verdict": clause.verdict} for clause in one.clauses],
                }
                for one in self.predictions
            ],
            "flip": asdict(self.flip),
            "metrics": [asdict(one) for one in self.metrics],
            "earlier": [asdict(one) for one in self.earlier],
            "ceilings": [asdict(one) for one in self.ceilings],
            "rows": [row.as_json() for row in self.rows],
        }
