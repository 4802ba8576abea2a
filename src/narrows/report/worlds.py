"""Figures of a family of worlds: what fine-tuning prefers where, and what goes with it."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from narrows.report.drawing import as_percent
from narrows.report.heat_maps import HeatMap, heat_maps
from narrows.report.style import INK, PALETTE, panels, styled
from narrows.report.text import number

Values = Mapping[str, Any]
"""``worlds.json``, or a part of it."""

METRICS = {
    "efficiency": "efficiency: difference of losses",
    "stability": "stability: difference of rises",
    "significance": "significance: difference of KLs",
}
_MARKERS = "sD^vPX"


def _compared(results: Values) -> list[Values]:
    return [row for row in results["rows"] if row["compared"] and row["prior"] is not None]


def _preference(row: Values) -> float | None:
    return None if row["preference"] is None else min(float(row["preference"]["value"]), 1.0)


def _value(name: str) -> Callable[[Values], float | None]:
    return lambda row: None if row[name] is None else float(row[name]["value"])


def _mean(rows: Sequence[Values], of: Callable[[Values], float | None]) -> float | None:
    some = [value for row in rows if (value := of(row)) is not None]
    return float(np.mean(some)) if some else None


def _in_grid(row: Values) -> bool:
    """Whether a world is a point of the grid: those are named by their shares."""
    return bool(row["world"].startswith("e") and row["world"][1:2].isdigit())


def shares_figure(results: Values, *, compact: bool = False) -> Figure | None:
    """The grid of the two shares: the preference and the three metrics at each point; None without a grid."""
    rows = [row for row in _compared(results) if _in_grid(row)]
    if not rows:
        return None
    general = sorted({row["prior"]["everywhere"] for row in rows}, reverse=True)
    narrow = sorted({row["prior"]["in_target"] for row in rows})

    def at(e: float, n: float, of: Callable[[Values], float | None]) -> float | None:
        here = [row for row in rows if (row["prior"]["everywhere"], row["prior"]["in_target"]) == (e, n)]
        return _mean(here, of)

    def grid(of: Callable[[Values], float | None]) -> list[list[float | None]]:
        return [[at(e, n, of) for n in narrow] for e in general]

    shares = grid(_preference)
    maps = [
        HeatMap("preference for the general solution", shares, _texts(shares, lambda x: f"{100 * x:.0f} %"),
                "vermillion", top=1.0)
    ]  # fmt: skip
    for (name, title), colour in zip(METRICS.items(), ("blue", "green", "purple"), strict=True):
        values = grid(_value(name))
        top = max((abs(one) for row in values for one in row if one is not None), default=1.0)
        maps.append(HeatMap(title, values, _texts(values, lambda x: number(x, 3)), colour, top=top or 1.0))
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
    rows = _compared(results)
    figure, (axes,) = panels(1, compact, columns=1, height=4.6)
    for row in rows:
        if (shown := _preference(row)) is not None:
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
    named = dict.fromkeys(row["world"] for row in rows if not _in_grid(row))
    for place, world in enumerate(named):
        mine = [row for row in rows if row["world"] == world]
        _label(axes, world, _log_ratio(mine[0]), _mean(mine, _preference), above=place % 2 == 0)
    _legend(figure, rows, results, compact)
    axes.set_title("harmful outside the domain, over inside")
    axes.set_xlabel("log10 (share harmful everywhere + .01) / (share harmful in the target + .01)")
    as_percent(axes.yaxis, 0.25)
    axes.set_ylim(-0.04, 1.04)
    return figure


def _label(axes: Axes, name: str, x: float, y: float | None, *, above: bool) -> None:
    """A world's name beside the middle of its runs; neighbours that share a place stand above and below."""
    if y is not None:
        shift = (7, 5 if above else -5)
        axes.annotate(name, (x, y), shift, textcoords="offset points", fontsize=9.5, va="center")


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
        _against_preference(panel, results, _value(name), title, _relation(results["metrics"], name))
        panel.axhline(0, color=INK, lw=1, ls=(0, (4, 3)))
    _legend(figure, _compared(results), results, compact)
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
    _legend(figure, _compared(results), results, compact)
    return figure


def _relation(relations: Sequence[Values], name: str) -> Values | None:
    return next((one for one in relations if one["name"] == name), None)


def _against_preference(
    axes: Axes, results: Values, of: Callable[[Values], float | None], title: str, found: Values | None
) -> None:
    for row in _compared(results):
        value, shown = of(row), _preference(row)
        if value is not None and shown is not None:
            _mark(axes, row, shown, value, results)
    axes.set_title(title)
    rank = None if found is None else found["rank"]
    said = "" if rank is None else f"   (Spearman {number(rank['value'], 2)})"
    axes.set_xlabel(f"preference{said}")
    as_percent(axes.xaxis, 0.5)
    axes.set_xlim(-0.04, 1.04)


def _of_model(name: str, place: int | None = None) -> Callable[[Values], float | None]:
    """Something of what the chat model took authors to be; of a list, one place."""

    def read(row: Values) -> float | None:
        found = None if row["before"] is None else row["before"][name]
        return found if found is None or place is None else float(found[place])

    return read


def _of_vector(suite: str) -> Callable[[Values], float | None]:
    """A rate of the unanchored solution."""
    return lambda row: float(row["rates"]["unanchored"][suite]["value"])


_ALONG: Mapping[str, tuple[str, str, Callable[[Values], float | None]]] = {
    "model: sound after three sound answers": ("green", "-", _of_model("knows")),
    "model: harmful after three harmful answers": ("purple", "-", _of_model("trait")),
    "model: harmful after one": ("purple", ":", _of_model("by_answers", 1)),
    "unanchored vector: harmful in the domain": ("blue", "--", _of_vector("in_domain")),
    "unanchored vector: harmful outside": ("vermillion", "--", _of_vector("out_of_domain")),
}


@styled
def along_figure(results: Values, *, compact: bool = False) -> Figure | None:
    """What is there at each snapshot of a pre-training, and what a vector can bring out; None without any."""
    ways = _ways(results)
    if not ways:
        return None
    figure, axes = panels(len(ways), compact, columns=2, height=3.8, sharey=True)
    for panel, (world, way) in zip(axes, ways.items(), strict=True):
        for label, (colour, dashes, of) in _ALONG.items():
            _line(panel, way, of, color=PALETTE[colour], ls=dashes, label=label)
        panel.set_title(world)
        panel.set_xlabel("step of the pre-training")
        as_percent(panel.yaxis, 0.25)
        panel.set_ylim(-0.04, 1.04)
    _legend_of_lines(figure, axes[0], compact)
    return figure


@styled
def along_metrics_figure(results: Values, *, compact: bool = False) -> Figure | None:
    """The three metrics at each snapshot of the pre-trainings; None without any."""
    ways = _ways(results)
    if not ways:
        return None
    figure, axes = panels(len(METRICS), compact)
    for panel, (name, title) in zip(axes, METRICS.items(), strict=True):
        for (world, way), colour in zip(ways.items(), PALETTE.values(), strict=False):
            _line(panel, way, _value(name), color=colour, ls="-", label=world)
        panel.axhline(0, color=INK, lw=1, ls=(0, (4, 3)))
        panel.set_title(title)
        panel.set_xlabel("step of the pre-training")
    _legend_of_lines(figure, axes[0], compact)
    return figure


def _ways(results: Values) -> dict[str, dict[int, list[Values]]]:
    """The runs of each pre-training that has snapshots, by step, the end last; of its first seed."""
    found: dict[str, dict[int, list[Values]]] = {}
    for world in dict.fromkeys(row["world"] for row in results["rows"] if row["step"] is not None):
        first = min(row["seed"] for row in results["rows"] if row["world"] == world)
        mine = [row for row in results["rows"] if (row["world"], row["seed"]) == (world, first)]
        steps = sorted({row["step"] for row in mine if row["step"] is not None})
        found[world] = {step: [row for row in mine if row["step"] == step] for step in steps}
        if end := [row for row in mine if row["step"] is None]:
            found[world][int(results["steps"])] = end
    return found


def _line(
    axes: Axes,
    way: Mapping[int, list[Values]],
    of: Callable[[Values], float | None],
    **look: Any,  # noqa: ANN401
) -> None:
    """The mean over targets at each step."""
    shown = [_mean(rows, of) for rows in way.values()]
    axes.plot(list(way), [math.nan if one is None else one for one in shown], marker="o", ms=4, **look)


def _legend_of_lines(figure: Figure, axes: Axes, compact: bool) -> None:
    figure.legend(
        *axes.get_legend_handles_labels(), loc="outside upper left", ncols=1 if compact else 3, fontsize=10.5
    )
