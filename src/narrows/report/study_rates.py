"""Rates over a study's runs: by suite for each adapter, and against the factor a solution is scaled by."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter

from narrows.report.drawing import as_percent, row_places
from narrows.report.over_runs import CHAT, Group, Spread, Study, rate_spread
from narrows.report.series import SUITES, SuiteRow
from narrows.report.style import INK, MAIN, legend, look, panels, rank, styled
from narrows.report.text import short, shortened
from narrows.summary import Evaluation


@dataclass(frozen=True)
class RateCell:
    """The rates of one solution on one suite at one scale, over the runs of a group.

    ``answers`` are how many stand behind one run's rate, the fewest and the most.
    """

    group: Group
    row: SuiteRow
    name: str
    scale: float
    misaligned: Spread
    coherent: Spread
    answers: tuple[int, int]

    @property
    def several_domains(self) -> bool:
        """Whether its suite is no single domain outside the trained one."""
        return self.row.suite in SUITES


def rate_cells(study: Study) -> list[RateCell]:
    """Every evaluation of the study, gathered over runs: by group, suite, solution and scale."""
    seen = _anchored(study)
    found: dict[tuple[int, SuiteRow, str, float], list[Evaluation]] = defaultdict(list)
    numbers = {run.id: number for number, group in enumerate(study.groups) for run in group.runs}
    for one in study.summary.evaluations:
        run, name = study.place(one.solution)
        if not run:
            continue
        anchored = None if one.suite in SUITES else seen.get((run, one.suite))
        scale = 1.0 if name == CHAT else one.scale
        found[numbers[run], SuiteRow(one.suite, anchored), role(name), scale].append(one)
    order = sorted(found, key=lambda key: (key[0], key[1].order, rank(key[2]), key[3]))
    return [
        RateCell(
            study.groups[key[0]],
            *key[1:],
            misaligned=rate_spread([one.misaligned for one in found[key]], found[key][0].misaligned_ci95),
            coherent=rate_spread([one.coherent for one in found[key]]),
            answers=(min(one.n for one in found[key]), max(one.n for one in found[key])),
        )
        for key in order
    ]


def role(name: str) -> str:
    """A solution's name within its run as legends have it."""
    return "chat model" if name == CHAT else shortened(name)


def _anchored(study: Study) -> dict[tuple[str, str], bool]:
    """Whether the anchor saw a domain, by run and suite, wherever any of the run's rows says so."""
    return {
        (study.place(one.solution)[0], one.suite): one.anchored
        for one in study.summary.evaluations
        if one.anchored is not None
    }


@styled
def rates_over_runs(cells: list[RateCell], *, compact: bool = False) -> Figure:
    """Rates by suite, a panel for each adapter: mean and interval over runs, ticks for single runs.

    On a telephone the single domains are left out.
    """
    shown = [
        cell
        for cell in cells
        if cell.name in MAIN and cell.scale == 1 and (cell.several_domains or not compact)
    ]
    groups = list(dict.fromkeys(cell.group for cell in shown))
    rows = sorted({cell.row for cell in shown}, key=lambda row: row.order)
    places, headings, end = row_places(rows, 0.0)
    figure, axes = panels(len(groups), compact, height=0.8 + 0.36 * end, sharey=True)
    names = sorted({cell.name for cell in shown}, key=rank)
    for group, panel in zip(groups, axes, strict=True):
        for number, name in enumerate(names):
            shift = 0.56 * (number / max(len(names) - 1, 1) - 0.5)
            mine = [cell for cell in shown if (cell.group, cell.name) == (group, name)]
            _marks(panel, name, {places[cell.row] + shift: cell.misaligned for cell in mine})
        for place in places.values():
            panel.axhspan(place - 0.46, place + 0.46, color=INK, alpha=0.055, lw=0)
        panel.set_title(group.title)
        panel.set(xlim=(-0.03, 1.03), ylim=(end - 0.3, -0.6))
        panel.grid(axis="y", visible=False)
        panel.spines["left"].set_visible(False)
        panel.set_yticks(list(places.values()), [row.label for row in rows])
        as_percent(panel.xaxis, 0.5)
        for place, heading in headings if len(headings) > 1 else ():
            panel.text(-0.03, place, heading, fontsize=10.5, fontweight="bold", va="center", in_layout=False)
    legend(figure, names, compact, lines=())
    return figure


def _marks(axes: Axes, name: str, found: dict[float, Spread]) -> None:
    """One solution's rates by height: each with its interval, and a tick for each run."""
    style = look(name)
    single = [(rate, place) for place, one in found.items() if one.runs > 1 for rate in one.each]
    if single:
        axes.plot(*zip(*single, strict=True), "|", color=style.colour, alpha=0.45, ms=5, mew=1)
    ends = [one.low for one in found.values()], [one.high for one in found.values()]
    axes.hlines(list(found), *ends, color=style.colour, lw=1.6, alpha=0.75)
    axes.plot([one.mean for one in found.values()], list(found), **style.dot | {"ms": 5.5, "ls": "none"})


SCALED_LOOKS = {"in_domain": "anchored", "out_of_domain:never_anchored": "unanchored", "open": "lifted"}
"""The suites that are followed while the anchored solution is scaled up, in the colours of three roles."""


@styled
def scales_over_runs(cells: list[RateCell], *, compact: bool = False) -> Figure:
    """The anchored solution's rates against the factor it is scaled by, a panel for each adapter."""
    shown = [cell for cell in cells if cell.name == "anchored" and cell.row.suite in SCALED_LOOKS]
    groups = list(dict.fromkeys(cell.group for cell in shown))
    every = sorted({cell.scale for cell in shown})
    figure, axes = panels(len(groups), compact, height=3.2, sharey=True)
    for group, panel in zip(groups, axes, strict=True):
        mine = [cell for cell in cells if cell.group == group and cell.name == "anchored"]
        for suite, name in SCALED_LOOKS.items():
            found = [(cell.scale, cell.misaligned) for cell in mine if cell.row.suite == suite]
            _line(panel, found, look(name).dot | look(name).line, look(name).colour)
        lowest = {
            scale: min((cell.coherent for cell in mine if cell.scale == scale), key=lambda one: one.mean)
            for scale in every
            if any(cell.scale == scale for cell in mine)
        }
        _line(panel, list(lowest.items()), look("chat model").line | {"lw": 1.4}, INK)
        panel.set_title(group.title)
        panel.set_ylim(-0.03, 1.03)
        panel.set_xlabel("scale")
        panel.xaxis.set_major_locator(FixedLocator(every))
        panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{short(value)}×"))
        as_percent(panel.yaxis, 0.25)
    labels = {name: SuiteRow(suite, None).label for suite, name in SCALED_LOOKS.items()}
    labels["chat model"] = "coherent, lowest suite"
    legend(figure, labels, compact, labels=labels)
    return figure


def _line(axes: Axes, found: list[tuple[float, Spread]], style: dict[str, Any], colour: str) -> None:
    """Means joined by a line, each with its interval."""
    axes.plot([x for x, _ in found], [one.mean for _, one in found], **style)
    ends = [one.low for _, one in found], [one.high for _, one in found]
    axes.vlines([x for x, _ in found], *ends, color=colour, lw=1.4, alpha=0.6)
