"""What the sections of a study say and show alike: from how much data, and of which behaviour and adapter."""

from collections.abc import Sequence
from typing import Any

from narrows.report.over_runs import Group, kind_title
from narrows.report.sheet import Column, words


def data_words(
    groups: Sequence[Group], *, lines: str = "Lines", single: str = "faint", own: bool = True
) -> str:
    """From how much data a figure is: the runs of each adapter, and what its lines and its faint parts are.

    ``own`` says whether a single run is drawn with intervals of its own.
    """
    counts = {len(group.runs) for group in groups}
    if counts == {1} and not own:
        return "One run of each adapter, without intervals."
    if counts == {1}:
        return f"One run of each adapter; {lines.lower()} are its own 95\u202f% intervals."
    each = f"{min(counts)} to {max(counts)}" if len(counts) > 1 else str(max(counts))
    return (
        f"Means over {each} runs of each adapter (models × domains); {lines.lower()} are 95\u202f% "
        f"intervals over runs, single runs are {single}."
    )


def group_columns() -> list[Column[Any]]:
    """The first two columns of a table over runs: kind of behaviour and adapter."""
    return [
        words("behaviour", lambda row: kind_title(row.group.kind)),
        words("adapter", lambda row: row.group.title),
    ]
