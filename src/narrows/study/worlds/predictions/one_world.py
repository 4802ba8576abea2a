"""Numbers of one world, whose runs are the unit: between worlds it is the world (``relations``)."""

from collections.abc import Sequence

from narrows.statistics import mean_interval
from narrows.study.worlds.relations import Column
from narrows.study.worlds.row import Measured, Row


def in_world(rows: Sequence[Row], world: str) -> list[Row]:
    """The runs of one world."""
    return [row for row in rows if row.world == world]


def over_runs(rows: Sequence[Row], column: Column) -> Measured | None:
    """The mean of a column over runs, with Student's t over them; without ends if there is one."""
    values = [value for row in rows if (value := column(row)) is not None]
    if len(values) < 2:
        return Measured(values[0]) if values else None
    found = mean_interval(values)
    return Measured(found.mean, found.low, found.high)
