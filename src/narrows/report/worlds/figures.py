"""Figures of a family of worlds: what fine-tuning prefers where, and what goes with it."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from narrows.report.drawing import as_percent
from narrows.report.heat_maps import HeatMap, heat_maps
from narrows.report.style import INK, PALETTE, panels, styled
from narrows.report.text import fixed, number
from narrows.report.worlds.rows import METRICS, Values, compared, mean_of, preference, value_of

_MARKERS = "sD^vPX"
_LABEL_WIDTH, _LABEL_HEIGHT = 0.4, 0.055
"""Of a world's name in the figure of ratios, in units of its axes."""


def _in_grid(row: Values) -> bool:
    """Whether a world is a point of the grid: those are named by their shares."""
    return bool(row["world"].startswith("e") and row["world"][1:2].isdigit())


def shares_figure(results: Values, *, compact: bool = False) -> Figure | None:
    """The grid of the two shares: the preference and the three metrics at each point; None without a grid."""
    rows = [row for row in compared(results) if _in_grid(row)]
    if not rows:
        return None
    general = sorted({row["prior"]["everywhere"] for row in rows}, reverse=True)
    narrow = sorted({row["prior"]["in_target"] for row in rows})

    def at(e: float, n: float, of: Callable[[Values], float | None]) -> float | None:
        here = [row for row in rows if (row["prior"]["everywhere"], row["prior"]["in_target"]) == (e, n)]
        return mean_of(here, of)

    def grid(of: Callable[[Values], float | None]) -> list[list[float | None]]:
        return [[at(e, n, of) for n in narrow] for e in general]

    shares = grid(preference)
    maps = [
        HeatMap("preference for the general solution", shares, _texts(shares, lambda x: f"{100 * x:.0f} %"),
                "vermillion", top=1.0)
    ]  # fmt: skip
    for (name, title), colour in zip(METRICS.items(), ("blue", "green", "purple"), strict=True):
        values = grid(value_of(name))
        top = max((abs(one) for row in values for one in row if one is not None), default=1.0)
        maps.append(
            HeatMap(
                title, values, _texts(values, lambda x: fixed(x, 3)), colour, top=top or 1.0, below="orange"
            )
        )
    return heat_maps(
        maps,
        [f"{100 * e:.0f} %" for e in general],
        [f"{100 * n:.0f} %" for n in narrow],
        labels=("authors harmful in the target only", "harmful everywhere"),
        compact=compact,
        across=2,
    )


def _texts(values: Sequence[Sequence[float | None]], say: Callable[[float], str]) -> list[list[str]]:
    return [["" if one is None else say(one) for one in row] for row in values]


@styled
def ratio_figure(results: Values, *, compact: bool = False) -> Figure:
    """The preference over the ratio of shares, a point a run, with the logistic curve."""
    rows = compared(results)
    figure, (axes,) = panels(1, compact, columns=1, height=4.6)
    for row in rows:
        if (shown := preference(row)) is not None:
            _mark(axes, row, _log_ratio(row), shown, results)
    found = results["flip"]
    if found["at"] is not None:
        x = np.linspace(*axes.get_xlim(), 200)
        axes.plot(
            x, 1 / (1 + np.exp(-found["slope"]["value"] * (x - found["at"]["value"]))), color=INK, lw=1.4
        )
        if found["at"]["low"] is not None:
            axes.axvspan(found["at"]["low"], found["at"]["high"], color=INK, alpha=0.12, lw=0)
    axes.axhline(0.5, color=INK, lw=1, ls=(0, (4, 3)))
    _name_worlds(axes, [row for row in rows if not _in_grid(row)])
    _legend(figure, rows, results, compact)
    axes.set_title("harmful outside the domain, over inside")
    axes.set_xlabel("log10 (share harmful everywhere + .01) / (share harmful in the target + .01)")
    as_percent(axes.yaxis, 0.25)
    axes.set_ylim(-0.04, 1.04)
    return figure


def _name_worlds(axes: Axes, rows: Sequence[Values]) -> None:
    """Each world's name beside the middle of its runs, those of neighbours one above the other."""
    middles = []
    for world in dict.fromkeys(row["world"] for row in rows):
        mine = [row for row in rows if row["world"] == world]
        if (shown := mean_of(mine, preference)) is not None:
            middles.append((shown, _log_ratio(mine[0]), world))
    placed: list[tuple[float, float]] = []
    for middle, x, world in sorted(middles):
        y = middle
        for left, below in placed:
            if abs(left - x) < _LABEL_WIDTH:
                y = max(y, below + _LABEL_HEIGHT)
        placed.append((x, y))
        axes.annotate(world, (x, y), (7, 0), textcoords="offset points", fontsize=9.5, va="center")


def _legend(figure: Figure, rows: Sequence[Values], results: Values, compact: bool) -> None:
    """What colours, shapes and fillings of points mean, as far as there are several."""
    marks: list[tuple[str, dict[str, Any]]] = []
    kinds = {_in_grid(row) for row in rows}
    if len(kinds) > 1:
        marks += [
            ("grid of shares", {"color": PALETTE["blue"], "marker": "o"}),
            ("worlds with names", {"color": PALETTE["vermillion"], "marker": "o"}),
        ]
    targets, seeds = _places(results)
    marks += [(f"taught {one}", {"color": INK, "marker": _MARKERS[n]}) for n, one in enumerate(targets)]
    if len(seeds) > 1:
        marks.append(("second seed", {"color": INK, "marker": "o", "mfc": "none"}))
    handles = [Line2D([], [], ls="none", label=label, **look) for label, look in marks]
    figure.legend(
        handles=handles,
        loc="outside upper left",
        ncols=2 if compact else len(handles),
        fontsize=10.5,
        columnspacing=1.2,
        handletextpad=0.3,
    )


def _places(results: Values) -> tuple[list[str], list[int]]:
    """Targets and pre-training seeds, in order."""
    rows = results["rows"]
    return sorted({one["target"] for one in rows}), sorted({one["seed"] for one in rows})


def _log_ratio(row: Values) -> float:
    return float(row["prior"]["log_ratio"])


def _mark(axes: Axes, row: Values, x: float, y: float, results: Values) -> None:
    """One run: worlds with names are vermillion, the grid's blue; another seed's are hollow."""
    targets, seeds = _places(results)
    colour = PALETTE["blue" if _in_grid(row) else "vermillion"]
    filled = seeds.index(row["seed"]) == 0
    axes.plot(
        x, y, marker=_MARKERS[targets.index(row["target"]) % len(_MARKERS)], color=colour, ls="none",
        mfc=colour if filled else "none", alpha=0.8,
    )  # fmt: skip


@styled
def metrics_figure(results: Values, *, compact: bool = False) -> Figure:
    """Each metric's difference against the preference, a point a run; above 0 is as in the paper."""
    figure, axes = panels(len(METRICS), compact)
    for panel, (name, title) in zip(axes, METRICS.items(), strict=True):
        _against_preference(panel, results, value_of(name), title, _relation(results["metrics"], name))
        panel.axhline(0, color=INK, lw=1, ls=(0, (4, 3)))
    _legend(figure, compared(results), results, compact)
    return figure


@styled
def earlier_figure(results: Values, *, compact: bool = False) -> Figure:
    """What the chat model took authors to be, against what fine-tuning then preferred."""

    def before(read: Callable[[Values], float | None]) -> Callable[[Values], float | None]:
        return lambda row: None if row["before"] is None else read(row["before"])

    shown: list[tuple[str, str, Callable[[Values], float | None]]] = [
        (
            "generality after three answers",
            "after 3 harmful answers: general / narrow",
            before(lambda one: one["outside"] / one["inside"] if one["inside"] else 0.0),
        ),
        (
            "trait inferred",
            "trait inferred from 3 answers",
            before(lambda one: float(one["trait"])),
        ),
        (
            "AUROC, harmful everywhere",
            "direction of harmful authors: AUROC",
            before(lambda one: float(one["aurocs"]["everywhere, document"])),
        ),
    ]
    figure, axes = panels(len(shown), compact)
    for panel, (name, title, of) in zip(axes, shown, strict=True):
        _against_preference(panel, results, of, title, _relation(results["earlier"], name))
    _legend(figure, compared(results), results, compact)
    return figure


def _relation(relations: Sequence[Values], name: str) -> Values | None:
    return next((one for one in relations if one["name"] == name), None)


def _against_preference(
    axes: Axes, results: Values, of: Callable[[Values], float | None], title: str, found: Values | None
) -> None:
    for row in compared(results):
        value, shown = of(row), preference(row)
        if value is not None and shown is not None:
            _mark(axes, row, shown, value, results)
    axes.set_title(title)
    rank = None if found is None else found["rank"]
    said = "" if rank is None else f"   (Spearman {number(rank['value'], 2)})"
    axes.set_xlabel(f"preference{said}")
    as_percent(axes.xaxis, 0.5)
    axes.set_xlim(-0.04, 1.04)
