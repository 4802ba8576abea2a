"""Heat maps of one grid: what was measured at each place, in colour and in words."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from narrows.report.style import INK, PALETTE, panels, styled
from narrows.report.text import shortened

_DEEPEST = 0.55  # opacity up to which the ink can be read on every colour, on light pages and dark ones
_ACROSS = 3
_ROW, _FRAME = 0.42, 1.1  # inches


@dataclass(frozen=True)
class HeatMap:
    """One quantity over the grid.

    Attributes:
        title: what it is, with its unit.
        values: (rows, columns); None where nothing was measured.
        texts: what is written at each place, (rows, columns).
        colour: of the palette.
        top: the value with the full colour, 0 being none; None shades by the logarithm, from the smallest
            value to the largest.
        below: the colour of values below 0, shaded by their size (with a ``top``); None: they have none.
    """

    title: str
    values: Sequence[Sequence[float | None]]
    texts: Sequence[Sequence[str]]
    colour: str
    top: float | None = None
    below: str | None = None

    def shade(self, value: float | None) -> float:
        """How much of the colour a value gets, 0 to 1."""
        if value is None:
            return 0.0
        if self.top is not None:
            part = value / self.top
            return min(max(part if self.below is None else abs(part), 0.0), 1.0)
        every = [math.log(one) for row in self.values for one in row if one is not None and one > 0]
        if value <= 0 or not every:
            return 0.0
        low, high = min(every), max(every)
        return 1.0 if high == low else 0.1 + 0.9 * (math.log(value) - low) / (high - low)


@styled
def heat_maps(
    maps: Sequence[HeatMap],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    labels: tuple[str, str] = ("", ""),
    marked: tuple[int, int] | None = None,
    compact: bool = False,
    across: int = _ACROSS,
) -> Figure:
    """Small multiples of one grid.

    Args:
        maps: the quantities.
        rows: names of the rows, top to bottom.
        columns: names of the columns.
        labels: of the columns' axis and of the rows'.
        marked: row and column of a place with a frame around it.
        compact: for a telephone.
        across: maps abreast, at most.
    """
    figure, axes = panels(
        len(maps), compact, columns=across, height=_ROW * max(len(rows), 2) + _FRAME, sharey=True
    )
    for place, (one, panel) in enumerate(zip(maps, axes, strict=True)):
        _draw(panel, one, marked)
        panel.set_title(one.title)
        panel.set_xlim(-0.5, len(columns) - 0.5)
        panel.set_ylim(len(rows) - 0.5, -0.5)
        panel.set_xticks(range(len(columns)), [shortened(name, 18) for name in columns])
        panel.set_yticks(range(len(rows)), [shortened(name, 18) for name in rows])
        panel.set_xlabel(labels[0])
        panel.set_ylabel(labels[1] if compact or place % across == 0 else "")
        panel.grid(visible=False)
        panel.spines[:].set_visible(False)
    return figure


def _draw(axes: Axes, one: HeatMap, marked: tuple[int, int] | None) -> None:
    """The places of one map."""
    for row, values in enumerate(one.values):
        for column, value in enumerate(values):
            corner = (column - 0.48, row - 0.46)
            negative = one.below if value is not None and value < 0 else None
            colour = PALETTE[negative or one.colour]
            axes.add_patch(
                Rectangle(corner, 0.96, 0.92, color=colour, alpha=_DEEPEST * one.shade(value), lw=0)
            )
            if (row, column) == marked:
                axes.add_patch(Rectangle(corner, 0.96, 0.92, fill=False, edgecolor=INK, lw=2.2))
            axes.text(
                column, row, shortened(one.texts[row][column], 14), ha="center", va="center", fontsize=10.5
            )
