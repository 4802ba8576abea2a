"""The tables that ``narrows rates`` shows."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from narrows.cli.tables import plain_table, rate_cell

if TYPE_CHECKING:
    from narrows.evaluation.rates.listing import Entry
    from narrows.evaluation.rates.tallies import Share
    from narrows.statistics import DifferenceInterval, RateInterval

NOTHING = "–"
MEANS = {
    "out_of_domain": "mean of domains",
    "out_of_domain:anchored": "  anchored",
    "out_of_domain:never_anchored": "  never anchored",
}


def listing_table(entries: "Sequence[Entry]") -> Table:
    """Rates, one row for each file, solution, scale and suite; columns only where they say something."""
    names = _name_columns(entries)
    numbers: list[tuple[str, Callable[[Entry], str]]] = [
        (escape(entries[0].criterion.name), _rate("shown")),
        ("unfiltered", _rate("beyond", short=True)),
        ("coherent", _rate("coherent", short=True)),
    ]
    if entries[0].criterion.coherence is None:
        del numbers[1]  # it is the rate itself
    shares: list[tuple[str, Share]] = [("refused", "refused"), ("code", "code"), ("unscored", "unscored")]
    numbers += [
        (title, _rate(share, short=True))
        for title, share in shares
        if any(getattr(one.total, share) for entry in entries for one in entry.group)
    ]
    numbers.append(("answers", lambda entry: str(entry.n)))
    return _table("Rates by suite", entries, names, numbers)


def difference_table(entries: "Sequence[Entry]") -> Table:
    """Differences to another solution, one row for each that has one."""
    title = f"Minus {Path(entries[0].against or '').name}, in points"
    rows = [entry for entry in entries if entry.difference is not None]
    if not rows:
        title += ": no scored answers to the same suites"
    numbers = [(escape(entries[0].criterion.name), _difference), ("questions", _compared)]
    return _table(title, rows, _name_columns(rows), numbers)


def correction_table(entries: "Sequence[Entry]") -> Table:
    """Self-correction, one row for each suite and topic."""
    rows = [(entry, name) for entry in entries for name, one in entry.corrections.items() if one.scored]
    names = _name_columns([entry for entry, _ in rows])
    titles = ("topic", "raised", "raised, condemned", "of raised", "scored")
    table = plain_table("Self-correction", *(title for title, _ in names), *titles, words=len(names) + 1)
    for entry, column in rows:
        one = entry.corrections[column]
        table.add_row(
            *(cell(entry) for _, cell in names),
            escape(column),
            *(_cell(share) for share in (one.raised, one.corrected, one.corrected_of_raised)),
            str(one.scored),
        )
    return table


def coherence_table(entries: "Sequence[Entry]") -> Table:
    """How the error over repeated samples splits, one row a suite."""

    def part(name: str) -> "Callable[[Entry], str]":
        return lambda entry: f"{round(getattr(entry.error_coherence, name), 3) + 0.0:.3f}"  # no -0.000

    def share(entry: "Entry") -> str:
        one = entry.error_coherence
        if one is None or one.share is None or one.low is None or one.high is None:
            return NOTHING
        return rate_cell(one.share, (one.low, one.high))

    rows = [entry for entry in entries if entry.error_coherence is not None]
    title = "Error over repeated samples" + ("" if rows else ": no question has two scored samples")
    parts = [(name, part(field)) for name, field in (("error", "error"), ("bias²", "bias2"))]
    numbers = [*parts, ("variance", part("variance")), ("variance's share", share), ("questions", _questions)]
    return _table(title, rows, _name_columns(rows), numbers)


def _table(
    title: str,
    entries: "Sequence[Entry]",
    names: "Sequence[tuple[str, Callable[[Entry], str]]]",
    numbers: "Sequence[tuple[str, Callable[[Entry], str]]]",
) -> Table:
    """A table with an empty line between solutions that have several rows each."""
    columns = [*names, *numbers]
    table = plain_table(title, *(name for name, _ in columns), words=len(names))
    for place, rows in enumerate(_blocks(entries)):
        if place and len(rows) > 1:
            table.add_row()
        for entry in rows:
            table.add_row(*(cell(entry) for _, cell in columns))
    return table


def _blocks(entries: "Sequence[Entry]") -> "Iterator[list[Entry]]":
    """The entries of each solution."""
    for _, rows in groupby(entries, key=lambda entry: entry.key):
        yield list(rows)


def _name_columns(entries: "Sequence[Entry]") -> "list[tuple[str, Callable[[Entry], str]]]":
    """The columns that say what a row is about; those in which all rows are alike are left out."""
    columns: list[tuple[str, Callable[[Entry], str]]] = [
        ("solution", _solution),
        ("suite", lambda entry: MEANS.get(entry.suite, escape(entry.suite))),
    ]
    solutions = {(entry.file, entry.key[1]) for entry in entries if entry.file is not None}
    if len(solutions) > len({solution for _, solution in solutions}):
        columns.insert(0, ("file", lambda entry: escape(Path(entry.file).name) if entry.file else ""))
    if len({entry.key[0] for entry in entries} - {""}) > 1:  # a CSV does not name its model
        columns.insert(0, ("model", lambda entry: escape(entry.key[0])))
    if any(entry.anchored is not None for entry in entries):
        columns.append(("anchored", lambda entry: {True: "yes", False: "no", None: ""}[entry.anchored]))
    return columns


def _solution(entry: "Entry") -> str:
    """A solution's name, with its scale unless that is 1."""
    _, solution, scale = entry.key
    return escape(solution) + ("" if scale == 1 else f" × {scale:g}")


def _rate(share: "Share", *, short: bool = False) -> "Callable[[Entry], str]":
    """A cell with a share, and with its interval unless it is to be short."""
    return lambda entry: _cell(entry.share(share), short=short)


def _cell(found: "RateInterval | None", *, short: bool = False) -> str:
    if found is None:
        return NOTHING
    return f"{100 * found.rate:.0f} %" if short else rate_cell(found.rate, (found.low, found.high))


def _difference(entry: "Entry") -> str:
    """A difference in points with its interval."""
    found: DifferenceInterval | None = entry.difference
    if found is None:
        return NOTHING
    low, high = (f"{100 * end:+.0f}" for end in (found.low, found.high))
    return f"{100 * found.difference:+.0f} [dim]\\[{low}, {high}][/]"


def _compared(entry: "Entry") -> str:
    return str(entry.difference.clusters) if entry.difference else NOTHING


def _questions(entry: "Entry") -> str:
    return str(entry.error_coherence.questions) if entry.error_coherence else NOTHING
