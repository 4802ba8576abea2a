"""The frontier of narrow and general: rates in the domain and outside, over λ and over mixtures."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from narrows.report.drawing import as_percent
from narrows.report.mixing import MixingPoint
from narrows.report.over_runs import CHAT, Group, Spread, Study, rate_spread
from narrows.report.style import FRONTIER, INK, legend, look, panels, styled
from narrows.report.text import short

_GRID = re.compile(r"anchored(-[\d.e+-]+)?")
CHAT_NAME, GENERAL_NAME, ANCHOR_NAME = "chat model", "unanchored", FRONTIER["anchor"]


@dataclass(frozen=True)
class FrontierPoint:
    """One recipe's rates over the runs of a group; ``weight`` is λ where ``path`` is the anchor's."""

    group: Group
    path: str
    weight: float | None
    inside: Spread
    outside: Spread


def frontier_points(study: Study) -> list[FrontierPoint]:
    """The chat model, the unanchored solution and every anchored one, by λ; at the trained scale.

    A λ that fewer than half of the group's runs have is left out: its mean would be of other runs.
    """
    weights = {one.id: one.kl_weight for one in study.summary.solutions}
    rates: dict[str, dict[str, tuple[float, tuple[float, float]]]] = defaultdict(dict)
    for one in study.summary.evaluations:
        if one.suite in ("in_domain", "out_of_domain") and (one.scale == 1 or one.solution.endswith("/chat")):
            rates[one.solution][one.suite] = one.misaligned, one.misaligned_ci95
    found: dict[tuple[int, str, float], list[dict[str, tuple[float, tuple[float, float]]]]] = defaultdict(
        list
    )
    numbers = {run.id: number for number, group in enumerate(study.groups) for run in group.runs}
    for solution, here in rates.items():
        run, name = study.place(solution)
        if run and len(here) == 2 and (recipe := _recipe(name, weights.get(solution))):
            found[numbers[run], *recipe].append(here)
    points = []
    for (number, path, weight), every in sorted(found.items()):
        group = study.groups[number]
        if 2 * len(every) >= len(group.runs):
            inside, outside = (
                rate_spread([one[suite][0] for one in every], every[0][suite][1])
                for suite in ("in_domain", "out_of_domain")
            )
            points.append(
                FrontierPoint(group, path, weight if path == ANCHOR_NAME else None, inside, outside)
            )
    return points


def _recipe(name: str, weight: float | None) -> tuple[str, float] | None:
    """The path a solution lies on, and its place there; None for what is on none."""
    if name == CHAT:
        return CHAT_NAME, 0.0
    if name == "unanchored":
        return GENERAL_NAME, 0.0
    if weight and _GRID.fullmatch(name):
        return ANCHOR_NAME, weight
    return None


@styled
def frontier_over_runs(
    found: tuple[list[FrontierPoint], list[MixingPoint]], *, compact: bool = False
) -> Figure:
    """In-domain rate across, out-of-domain rate up; one panel for each adapter."""
    points, mixtures = found
    groups = list(dict.fromkeys(point.group for point in points))
    figure, axes = panels(len(groups), compact, columns=2 if len(groups) in (2, 4) else 3, height=3.9)
    drawn: set[str] = set()
    for group, panel in zip(groups, axes, strict=True):
        panel.plot((0, 1), (0, 1), color=INK, lw=1, ls=(0, (1, 2)), alpha=0.7)
        mine = [point for point in points if point.group == group]
        general = [(one.inside, one.outside) for one in mine if one.path == GENERAL_NAME]
        for series, name in (("total", FRONTIER["total"]), ("behaviour", FRONTIER["behaviour"])):
            mixed = [
                (one.inside, one.outside) for one in mixtures if (one.group, one.fixed) == (group, series)
            ]
            if mixed:
                _path(panel, mixed, name)
                drawn.add(name)
        anchored = [point for point in mine if point.path == ANCHOR_NAME]
        if anchored:
            ways = [*general, *((one.inside, one.outside) for one in anchored)]
            _path(panel, ways, ANCHOR_NAME)
            for one in anchored:
                panel.annotate(
                    short(one.weight), (one.inside.mean, one.outside.mean), (5, 5),
                    textcoords="offset points", fontsize=9.5, color=look(ANCHOR_NAME).colour,
                )  # fmt: skip
        for one in mine:
            if one.path in (CHAT_NAME, GENERAL_NAME):
                _marks(panel, [(one.inside, one.outside)], one.path, size=8)
        drawn |= {one.path for one in mine}
        panel.set_title(group.title)
        panel.set(xlim=(-0.04, 1.04), ylim=(-0.04, 1.04), aspect="equal")
        panel.set_xlabel("in the domain")
        if compact or panel is axes[0]:
            panel.set_ylabel("in other domains (mean)")
        for axis in (panel.xaxis, panel.yaxis):
            as_percent(axis, 0.25)
    lines = [name for name in drawn if name in FRONTIER.values()]
    legend(figure, drawn, compact, lines=lines, labels={ANCHOR_NAME: "anchored, by λ"})
    return figure


def _path(axes: Axes, points: Sequence[tuple[Spread, Spread]], name: str) -> None:
    """Means in order, with intervals; each run's own path faint where all points have the same runs."""
    style = look(name)
    if len({len(inside.each) for inside, _ in points}) == 1 and points[0][0].runs > 1:
        for run in range(points[0][0].runs):
            x, y = [one.each[run] for one, _ in points], [one.each[run] for _, one in points]
            axes.plot(x, y, color=style.colour, lw=0.7, alpha=0.2)
    axes.plot([one.mean for one, _ in points], [one.mean for _, one in points], **style.line)
    _marks(axes, points, name)


def _marks(axes: Axes, points: Sequence[tuple[Spread, Spread]], name: str, size: float = 5.5) -> None:
    """Means with both intervals."""
    style = look(name)
    x, y = [one.mean for one, _ in points], [one.mean for _, one in points]
    faint: dict[str, Any] = {"color": style.colour, "lw": 1, "alpha": 0.45}
    axes.hlines(y, [one.low for one, _ in points], [one.high for one, _ in points], **faint)
    axes.vlines(x, [one.low for _, one in points], [one.high for _, one in points], **faint)
    axes.plot(x, y, **style.dot | {"ms": size, "ls": "none"})
