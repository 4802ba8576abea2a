"""Figures of the snapshots of pre-trainings: when what is there, and what a vector can bring out by then."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from narrows.report.drawing import as_percent
from narrows.report.style import INK, PALETTE, panels, styled
from narrows.report.worlds.rows import METRICS, Values, mean_of, value_of


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
            _line(panel, way, value_of(name), color=colour, ls="-", label=world)
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
    shown = [mean_of(rows, of) for rows in way.values()]
    axes.plot(list(way), [math.nan if one is None else one for one in shown], marker="o", ms=4, **look)


def _legend_of_lines(figure: Figure, axes: Axes, compact: bool) -> None:
    figure.legend(
        *axes.get_legend_handles_labels(), loc="outside upper left", ncols=1 if compact else 3, fontsize=10.5
    )
