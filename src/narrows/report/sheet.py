"""Tables as files: full numbers, units in the header, text that no spreadsheet takes for a formula."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from narrows.report.over_runs import Spread
from narrows.report.tables import Table
from narrows.report.text import MISSING, estimate, percent, percent_interval, short, visible

T = TypeVar("T")
Raw = str | float | int | bool | None
_FORMULA = tuple("=+-@\t\r＝＋－＠")  # what a spreadsheet may take for the beginning of a formula


@dataclass(frozen=True)
class Sheet:
    """A table of a file ``tables/NAME.csv``; every header says its column's unit."""

    name: str
    headers: tuple[str, ...]
    rows: list[tuple[Raw, ...]]

    def csv(self) -> bytes:
        """The file: UTF-8, one line a row, numbers with all their digits, nothing for what is missing."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow([_cell(header) for header in self.headers])
        writer.writerows([_cell(value) for value in row] for row in self.rows)
        return buffer.getvalue().encode()


def _cell(value: Raw) -> Raw:
    """A cell; text that begins like a formula gets an apostrophe before it, and nothing is hidden in it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, str):
        return value
    text = visible(value)
    return f"'{text}" if text.lstrip(" \n").startswith(_FORMULA) or text[:1] in ("\t", "\r") else text


@dataclass(frozen=True)
class Column(Generic[T]):
    """A column of the page and the columns of the file behind it.

    Attributes:
        header: on the page.
        shown: the cell on the page.
        raw: headers and values of the file.
    """

    header: str
    shown: Callable[[T], str]
    raw: tuple[tuple[str, Callable[[T], Raw]], ...]


def words(header: str, value: Callable[[T], str]) -> Column[T]:
    """Text."""
    return Column(header, lambda row: value(row) or MISSING, ((header, value),))


def amount(header: str, value: Callable[[T], float | int | None], unit: str = "") -> Column[T]:
    """A number that somebody chose or counted."""
    return Column(header, lambda row: short(value(row)), ((f"{header} ({unit})" if unit else header, value),))


def rate(header: str, value: Callable[[T], Spread | None], unit: str = "fraction") -> Column[T]:
    """A rate over runs, in per cent on the page and as a fraction in the file."""

    def shown(row: T) -> str:
        found = value(row)
        if found is None:
            return MISSING
        return f"{percent(found.mean)} {percent_interval(found.ci95) if found.ci95 else ''}".strip()

    return Column(header, shown, _ends(header, value, unit))


def quantity(header: str, value: Callable[[T], Spread | None], unit: str) -> Column[T]:
    """Any other number over runs."""

    def shown(row: T) -> str:
        found = value(row)
        if found is None:
            return MISSING
        middle, bounds = estimate(found.mean, found.ci95)
        return f"{middle} {bounds}" if found.low < found.high else middle

    return Column(header, shown, _ends(header, value, unit))


def _ends(
    header: str, value: Callable[[T], Spread | None], unit: str
) -> tuple[tuple[str, Callable[[T], Raw]], ...]:
    """A number over runs as three columns."""

    def part(name: str) -> Callable[[T], Raw]:
        def read(row: T) -> Raw:
            found = value(row)
            if found is None or (name != "mean" and found.ci95 is None):
                return None
            return {"mean": found.mean, "low": found.low, "high": found.high}[name]

        return read

    return (
        (f"{header}, mean over runs ({unit})", part("mean")),
        (f"{header}, 95 % low ({unit})", part("low")),
        (f"{header}, 95 % high ({unit})", part("high")),
    )


def tabulated(
    name: str,
    title: str,
    columns: Sequence[Column[T]],
    rows: Sequence[T],
    text_columns: int,
    *,
    on_page: Callable[[T], bool] | None = None,
    left_out: str = "",
) -> tuple[Table, Sheet]:
    """The same rows for the page and for the file ``tables/NAME.csv``.

    Args:
        name: of the file.
        title: on the page.
        columns: from left to right.
        rows: what the columns read.
        text_columns: how many of the page's columns are text.
        on_page: which rows stand on the page; None for all.
        left_out: what the others are, in words.
    """
    raw = [one for column in columns for one in column.raw]
    shown = [row for row in rows if on_page is None or on_page(row)]
    return (
        Table(
            title,
            tuple(column.header for column in columns),
            [tuple(column.shown(row) for column in columns) for row in shown],
            text_columns,
            file=f"tables/{name}.csv",
            left_out=left_out if len(shown) < len(rows) else "",
        ),
        Sheet(
            name, tuple(header for header, _ in raw), [tuple(read(row) for _, read in raw) for row in rows]
        ),
    )
