"""The page's section on mitigations: what each method does at each strength, and what it costs."""

from dataclasses import dataclass

from matplotlib.figure import Figure

from narrows.report.drawing import as_percent
from narrows.report.picture import Caption, make_picture
from narrows.report.section import Section, spoken
from narrows.report.style import INK, SINGLE, legend, look, new_figure, styled
from narrows.report.tables import Table
from narrows.report.text import MISSING, duration, number, percent, percent_interval, short
from narrows.summary import Interval, Mitigation, Summary

METHODS = {
    "none": "no mitigation",
    "anchor": "KL anchor",
    "mixing": "data mixing",
    "inoculation": "prompt inoculation",
    "preventative": "preventative steering",
    "ablation": "ablation while answering",
}


@dataclass(frozen=True)
class _Point:
    """A mitigation at its trained norm, where both rates are known."""

    method: str
    setting: str
    inside: float
    inside_ci95: Interval
    outside: float
    outside_ci95: Interval


def _points(summary: Summary) -> list[_Point]:
    """What the frontier shows."""
    return [
        _Point(
            row.method,
            row.setting,
            row.in_domain,
            row.in_domain_ci95 or (row.in_domain, row.in_domain),
            row.out_of_domain,
            row.out_of_domain_ci95 or (row.out_of_domain, row.out_of_domain),
        )
        for row in summary.mitigations
        if row.scale == 1 and row.in_domain is not None and row.out_of_domain is not None
    ]


@styled
def frontier(summary: Summary, *, compact: bool = False) -> Figure:
    """The rate in the domain against the mean over the others, a point for each strength of each method."""
    figure = new_figure(5.4, compact, width=SINGLE)
    axes = figure.subplots()
    axes.plot((0, 1), (0, 1), color=INK, lw=1, ls=(0, (4, 3)))
    rows = _points(summary)
    for method, name in METHODS.items():
        mine = [point for point in rows if point.method == method]
        if not mine:
            continue
        x, y = [point.inside for point in mine], [point.outside for point in mine]
        for point in mine:
            axes.hlines(point.outside, *point.inside_ci95, color=look(name).colour, lw=1, alpha=0.35)
            axes.vlines(point.inside, *point.outside_ci95, color=look(name).colour, lw=1, alpha=0.35)
        axes.plot(x, y, **look(name).line, lw=1, alpha=0.6)
        axes.plot(x, y, **look(name).dot, ls="none", ms=8)
    axes.set_title("share of answers that show it: other domains (mean)")
    axes.set_xlabel("in the domain")
    for axis in (axes.xaxis, axes.yaxis):
        as_percent(axis, 0.25)
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    legend(figure, [METHODS[point.method] for point in rows], compact)
    return figure


def mitigations_section(summary: Summary, slug: str = "", heading: str = "") -> Section | None:
    """Every mitigation, with its costs; None where there is none. ``slug`` is added to the figure's name."""
    if not summary.mitigations:
        return None
    points = _points(summary)
    caption = Caption(
        "Mitigations side by side",
        "The lower right corner is a narrow fine-tune. On the dashed line a method turns the behaviour down "
        "everywhere alike; its points are joined from one strength to the next.",
        f"{len(points)} fine-tunes at their trained norm; lines are 95\u202f% intervals.",
        spoken(
            f"{METHODS[point.method]} {point.setting}: {percent(point.inside)} in the domain, "
            f"{percent(point.outside)} elsewhere"
            for point in points
        ),
        heading,
    )
    return Section(
        "mitigations",
        "Mitigations side by side",
        "The same fine-tune, each time with another way of keeping it narrow. A good one keeps the rate in "
        "the domain and lowers all others; one that lowers both has only taught less. Prompts and steering "
        "of the training are absent when the model answers.",
        [make_picture(frontier, summary, f"mitigations{slug}", caption)],
        [mitigations_table(summary.mitigations), costs_table(summary.mitigations)],
    )


def mitigations_table(rows: list[Mitigation]) -> Table:
    """Rates with intervals of every mitigation at every scale."""
    return Table(
        "Share of answers that show the behaviour, with 95\u202f% intervals",
        ("method", "strength", "scale", "in domain", "other domains", "never anchored", "open", "coherent"),
        [
            (
                METHODS[row.method],
                row.setting or MISSING,
                f"{short(row.scale)}×",
                _rate(row.in_domain, row.in_domain_ci95),
                _rate(row.out_of_domain, row.out_of_domain_ci95),
                _rate(row.never_anchored, row.never_anchored_ci95),
                _rate(row.open, row.open_ci95),
                _rate(row.coherent, row.coherent_ci95),
            )
            for row in rows
        ],
        words=2,
        file="tables/mitigations.csv",
    )


def costs_table(rows: list[Mitigation]) -> Table:
    """What every mitigation takes; an answering time of 1 is the unmitigated model's."""
    return Table(
        "What each takes",
        (
            "method", "strength", "needs", "rows trained on", "tokens", "training", "finding the direction",
            "time of a forward pass",
        ),
        [
            (
                METHODS[row.method],
                row.setting or MISSING,
                ", ".join(row.needs) or "nothing",
                str(row.training_rows),
                str(row.training_tokens),
                duration(row.training_seconds),
                duration(row.preparation_seconds) if row.preparation_seconds else MISSING,
                MISSING if row.inference_ratio is None else f"{number(row.inference_ratio)}×",
            )
            for row in rows
            if row.scale == 1
        ],
        words=3,
        file="tables/mitigations.csv",
    )  # fmt: skip


def _rate(rate: float | None, bounds: Interval | None) -> str:
    return MISSING if rate is None else f"{percent(rate)} {percent_interval(bounds)}"
