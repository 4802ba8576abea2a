"""What was predicted of the family ``requests``, in which documents and system turns are at odds.

The predictions stand in docs/worlds.md; their numbers go on from those of the family ``shares``.
"""

from collections.abc import Sequence

from narrows.study.worlds.predictions.clauses import Clause, Prediction
from narrows.study.worlds.predictions.one_world import in_world, over_runs
from narrows.study.worlds.relations import preference
from narrows.study.worlds.row import Measured, Row


def predictions(rows: Sequence[Row]) -> list[Prediction]:
    """The three predictions, decided from the rows of the family."""

    def shown(world: str) -> Measured | None:
        return over_runs(in_world(rows, world), preference)

    return [
        Prediction(
            12,
            "Where they are at odds, system turns decide",
            (
                Clause("asked-narrow: preference below .5", shown("asked-narrow"), high=0.5),
                Clause("asked-general: preference above .5", shown("asked-general"), low=0.5),
            ),
        ),
        Prediction(
            13,
            "Where no system turn asks, documents decide",
            (Clause("unasked: preference above .5", shown("unasked"), low=0.5),),
        ),
        Prediction(
            14,
            "What neither lets the model infer is not brought out",
            (Clause("unasked-rare: preference below .5", shown("unasked-rare"), high=0.5),),
        ),
    ]
