"""What mixing in good data does to both rates, over a study's runs."""

import math
from collections import defaultdict
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter

from narrows.report.drawing import as_percent
from narrows.report.over_runs import Group, Spread, Study, rate_spread
from narrows.report.style import legend, look, panels, styled
from narrows.report.text import short
from narrows.summary import Mixing

SERIES = {"behaviour": "behaviour's rows fixed", "total": "total rows fixed", "": "mixtures"}
"""What a series of mixtures keeps, in words; the first is drawn solid, the second dashed."""
_LOOKS = {
    ("inside", "behaviour"): "mixed in, behaviour",
    ("inside", "total"): "mixed in, total",
    ("inside", ""): "mixed in, behaviour",
    ("outside", "behaviour"): "mixed out, behaviour",
    ("outside", "total"): "mixed out, total",
    ("outside", ""): "mixed out, behaviour",
}


@dataclass(frozen=True)
class MixingPoint:
    """Both rates at one mixture over the runs of a group; ``fixed`` is what its series keeps, or empty."""

    group: Group
    fixed: str
    bad_fraction: float
    inside: Spread
    outside: Spread

    @property
    def ratio(self) -> str:
        """The mixture as bad rows to good ones: ``1:3``."""
        return ratio(self.bad_fraction)


def ratio(bad_fraction: float) -> str:
    """A share of bad rows as bad rows to good ones."""
    return f"1:{short(round(1 / bad_fraction - 1, 2))}" if bad_fraction > 0 else "0:1"


def mixing_points(study: Study) -> list[MixingPoint]:
    """All mixtures by group and series, from the unmixed on."""
    found: dict[tuple[int, str, float], list[Mixing]] = defaultdict(list)
    numbers = {run.id: number for number, group in enumerate(study.groups) for run in group.runs}
    for row in study.summary.mixing:
        run, _ = study.place(row.solution)
        if run:
            found[numbers[run], row.fixed or "", -round(row.bad_fraction, 6)].append(row)
    return [
        MixingPoint(
            study.groups[number],
            fixed,
            rows[0].bad_fraction,
            rate_spread([row.in_domain for row in rows], rows[0].in_domain_ci95),
            rate_spread([row.out_of_domain for row in rows], rows[0].out_of_domain_ci95),
        )
        for (number, fixed, _), rows in sorted(found.items())
    ]


@styled
def mixing_over_runs(points: list[MixingPoint], *, compact: bool = False) -> Figure:
    """Rates against the share of bad rows, a panel for each adapter; the fraction's axis is logarithmic."""
    groups = list(dict.fromkeys(point.group for point in points))
    figure, axes = panels(
        len(groups), compact, columns=2 if len(groups) in (2, 4) else 3, height=3.5, sharey=True
    )
    labels: dict[str, str] = {}
    fractions = sorted({point.bad_fraction for point in points if point.bad_fraction > 0}, reverse=True)
    for group, panel in zip(groups, axes, strict=True):
        for fixed, series in SERIES.items():
            mine = [
                one for one in points if (one.group, one.fixed) == (group, fixed) and one.bad_fraction > 0
            ]
            for side, words in (("inside", "in domain"), ("outside", "other domains")):
                if mine:
                    name = _LOOKS[side, fixed]
                    labels[name] = f"{words}, {series}"
                    shift = {"behaviour": -0.02, "total": 0.02}.get(fixed, 0.0)
                    x = [math.log2(1 / one.bad_fraction) + shift for one in mine]
                    _curve(panel, x, [getattr(one, side) for one in mine], name)
        panel.set_title(group.title)
        panel.set_ylim(-0.03, 1.03)
        panel.set_xlabel("bad rows to good rows")
        as_percent(panel.yaxis, 0.25)
        ticks = _apart([math.log2(1 / one) for one in fractions])
        panel.xaxis.set_major_locator(FixedLocator(ticks))
        panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: ratio(2**-value)))
    legend(figure, labels, compact, labels=labels)
    return figure


def _curve(axes: Axes, x: list[float], found: list[Spread], name: str) -> None:
    """Means joined, with intervals; single runs faint."""
    style = look(name)
    if len({one.runs for one in found}) == 1 and found[0].runs > 1:
        for run in range(found[0].runs):
            axes.plot(x, [one.each[run] for one in found], color=style.colour, lw=0.6, alpha=0.18)
    axes.plot(x, [one.mean for one in found], **style.line | style.dot | {"ms": 5, "lw": 1.7})
    axes.vlines(
        x, [one.low for one in found], [one.high for one in found], color=style.colour, lw=1.3, alpha=0.6
    )


def _apart(places: list[float], least: float = 0.45) -> list[float]:
    """Those places that leave room for a label each, the ends always among them."""
    kept = places[:1]
    for place in places[1:]:
        if place - kept[-1] >= least:
            kept.append(place)
    if places and kept[-1] != places[-1]:
        kept[-1:] = [places[-1]] if len(kept) > 1 else [kept[0], places[-1]]
    return kept
