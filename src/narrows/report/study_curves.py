"""Curves over a study's runs: the mean with its interval at every point, each run's own beside it."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from narrows.report.drawing import as_percent
from narrows.report.over_runs import Group, Spread, Study, spread
from narrows.report.study_rates import role
from narrows.report.style import INK, is_known, legend, look, panels, rank, styled
from narrows.summary import Summary

POINTS = 21
"""Of a mean curve where the runs were measured at different places."""
SHARE_LABEL = "norm (1: the larger trained one)"
_Points = Iterable[tuple[str, str, float, float]]


@dataclass(frozen=True)
class MeanCurve:
    """A solution's curve over the runs of a group; ``each`` holds the runs' own points."""

    group: Group
    name: str
    x: list[float]
    y: list[Spread]
    each: list[tuple[list[float], list[float]]]


def mean_curves(study: Study, points: _Points, *, logarithmic: bool = False) -> list[MeanCurve]:
    """Points (run, name, x, y) as mean curves, by group and in legend order.

    Several points of one run at one x (draws of a random direction) become their mean. Where the runs have
    the same x, those are the curve's; else the runs are interpolated linearly at evenly spaced places of the
    stretch that all of them cover.

    Args:
        study: whose runs they are.
        points: of runs of the study; others are passed over.
        logarithmic: both axes are: interpolate in logarithms, and take the mean of the logarithms.
    """
    gathered: dict[tuple[int, str], dict[str, dict[float, list[float]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(list))
    )
    numbers = {run.id: number for number, group in enumerate(study.groups) for run in group.runs}
    for run, name, x, y in points:
        if run in numbers:
            gathered[numbers[run], name][run][x].append(y)
    curves = []
    for number, name in sorted(gathered, key=lambda key: (key[0], rank(key[1]))):
        each = [
            (sorted(run), [sum(run[x]) / len(run[x]) for x in sorted(run)])
            for run in gathered[number, name].values()
        ]
        grid, rows = _aligned(each, logarithmic)
        if grid:
            values = [_spread(column, logarithmic) for column in rows]
            curves.append(MeanCurve(study.groups[number], name, grid, values, each))
    return curves


def _aligned(
    each: list[tuple[list[float], list[float]]], logarithmic: bool
) -> tuple[list[float], list[list[float]]]:
    """A grid for all runs, and at each of its points the runs' values; empty where they do not overlap."""
    first = each[0][0]
    if all(len(x) == len(first) and np.allclose(x, first, rtol=1e-6, atol=1e-9) for x, _ in each):
        return first, [list(column) for column in zip(*(y for _, y in each), strict=True)]
    low, high = max(x[0] for x, _ in each), min(x[-1] for x, _ in each)
    if low >= high:
        return [], []
    change, back = (np.log, np.exp) if logarithmic else (np.asarray, np.asarray)
    grid = np.linspace(change(low), change(high), POINTS)
    rows = [back(np.interp(grid, change(np.array(x)), change(np.array(y)))).tolist() for x, y in each]
    return back(grid).tolist(), [list(column) for column in zip(*rows, strict=True)]


def _spread(values: list[float], logarithmic: bool) -> Spread:
    """The mean over runs; of logarithms, it is the geometric mean."""
    if not logarithmic:
        return spread(values)
    found = spread(np.log(values).tolist())
    ends = None if found.ci95 is None else (float(np.exp(found.low)), float(np.exp(found.high)))
    return Spread(float(np.exp(found.mean)), ends, tuple(values))


def larger_norms(study: Study) -> dict[str, float]:
    """The larger trained effective norm of each run's general and narrow solution."""
    norms: dict[str, float] = {}
    for one in study.summary.solutions:
        run, name = study.place(one.id)
        if run and name in ("unanchored", "anchored"):
            norms[run] = max(norms.get(run, 0.0), one.effective_norm)
    return {run: norm for run, norm in norms.items() if norm > 0}


def efficiency_points(study: Study) -> _Points:
    """Loss against the share of the run's larger trained norm."""
    norms = larger_norms(study)
    for row in study.summary.efficiency:
        run, name = study.place(row.solution)
        if run in norms:
            yield run, role(name), row.norm / norms[run], row.loss


def stability_points(study: Study) -> _Points:
    """Relative rise of the loss against ε."""
    for row in study.summary.stability:
        run, name = study.place(row.solution)
        yield run, role(name), row.epsilon, row.relative_increase


def significance_points(study: Study, text: str) -> _Points:
    """KL on one type of text against the share of the run's larger trained norm; positive values only."""
    norms = larger_norms(study)
    for row in study.summary.significance:
        run, name = study.place(row.direction)
        if not run and row.solution:
            run = study.place(row.solution)[0]
        if run in norms and row.text == text and row.kl > 0 and row.norm > 0:
            yield run, re.sub(r"^(random.*?)[-_#]\d+$", r"\1", role(name)), row.norm / norms[run], row.kl


def gradient_points(study: Study) -> _Points:
    """Cosines with the general (``unanchored``) and the narrow solution against the share of the training.

    Where a run followed several trainings, those of the most frequent name over the study.
    """
    rows = [(*study.place(row.run), row) for row in study.summary.gradients]
    followed = Counter(name for run, name, _ in rows if run).most_common(1)
    last: dict[str, int] = {}
    for run, _, row in rows:
        last[run] = max(last.get(run, 1), row.step)
    for run, name, row in rows:
        if followed and name == followed[0][0]:
            yield run, "unanchored", row.step / last[run], row.cos_general
            yield run, "anchored", row.step / last[run], row.cos_narrow


@dataclass(frozen=True)
class CurveView:
    """Mean curves as a figure shows them, a panel for each adapter.

    Attributes:
        curves: of one kind of behaviour.
        x: label of the horizontal axis.
        y: of the vertical one.
        scale: ``plain``, ``percent`` (of fractions) or ``log`` (both axes).
        labels: other words for the names in the legend.
        zero: whether to draw the level 0.
    """

    curves: list[MeanCurve]
    x: str
    y: str
    scale: str = "plain"
    labels: dict[str, str] | None = None
    zero: bool = False

    @property
    def known(self) -> list[MeanCurve]:
        """The curves of known roles; others are in the files only."""
        return [curve for curve in self.curves if is_known(curve.name)]


@styled
def curves_over_runs(view: CurveView, *, compact: bool = False) -> Figure:
    """Means with bands over runs, single runs faint behind them; controls have neither."""
    groups = list(dict.fromkeys(curve.group for curve in view.known))
    figure, axes = panels(len(groups), compact, columns=2 if len(groups) in (2, 4) else 3, sharey=True)
    for group, panel in zip(groups, axes, strict=True):
        for curve in view.known:
            if curve.group != group:
                continue
            style = look(curve.name)
            for x, y in curve.each if not style.dashes and len(curve.each) > 1 else ():
                panel.plot(x, y, color=style.colour, lw=0.7, alpha=0.22)
            if not style.dashes:
                low, high = [one.low for one in curve.y], [one.high for one in curve.y]
                panel.fill_between(curve.x, low, high, color=style.colour, alpha=0.17, lw=0)
            panel.plot(curve.x, [one.mean for one in curve.y], **style.line)
        panel.set_title(group.title)
        panel.set_xlabel(view.x)
        if compact or panel is axes[0]:
            panel.set_ylabel(view.y)
        if view.zero:
            panel.axhline(0, lw=0.8, color=INK)
        if view.scale == "percent":
            as_percent(panel.yaxis)
        if view.scale == "log":
            panel.set(xscale="log", yscale="log")
            panel.yaxis.set_major_locator(LogLocator(base=10, numticks=8))
            panel.xaxis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5), numticks=8))
            for axis in (panel.xaxis, panel.yaxis):
                axis.set_minor_locator(NullLocator())
                axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    legend(figure, [curve.name for curve in view.known], compact, dots=False, labels=view.labels)
    return figure


def text_types(summary: Summary) -> list[str]:
    """Types of text, all text first."""
    return sorted({row.text for row in summary.significance}, key=lambda text: (text != "all", text))
