"""A section of the page: a heading, a line of introduction, figures and the tables behind them."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from narrows.report.picture import Picture
from narrows.report.sheet import Sheet
from narrows.report.tables import Table


@dataclass(frozen=True)
class Section:
    """A heading, a line of introduction, figures and the tables behind them.

    ``sheets`` are files only; the tables of one that is ``unfolded`` can be read at once.
    """

    id: str
    title: str
    lead: str
    pictures: list[Picture] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    sheets: list[Sheet] = field(default_factory=list)
    unfolded: bool = False


def spoken(parts: Iterable[str], longest: int = 24) -> str:
    """Parts of an account as one sentence, the first ``longest`` of them."""
    said = list(parts)
    rest = len(said) - longest
    return "; ".join(said[:longest]) + (f"; and {rest} more." if rest > 0 else ".")
