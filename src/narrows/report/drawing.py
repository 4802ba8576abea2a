"""What the figures are made of: rates by suite, curves with bands, paths, each drawn into given axes."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FixedLocator, PercentFormatter

from narrows.report import series
from narrows.report.style import INK, look
from narrows.report.text import NARROW_SPACE, shortened
from narrows.summary import Evaluation, Summary, Trajectory

NORM_LABEL = "effective norm of the adapter"
_LABEL_ABOVE = 0.55  # on a telephone the labels stand above the rows instead of beside them


def as_percent(axis: Axis, step: float | None = None) -> None:
    """Show fractions on an axis as percentages, with a tick at every ``step``."""
    axis.set_major_formatter(PercentFormatter(xmax=1, decimals=0, symbol=f"{NARROW_SPACE}%"))
    if step:
        axis.set_major_locator(FixedLocator([step * i for i in range(round(1 / step) + 1)]))


def draw_rates(
    summary: Summary, left: Axes, right: Axes | None, names: Sequence[str], compact: bool = False
) -> None:
    """Rates by suite from top to bottom, one marker for each of ``names`` in a row.

    Args:
        summary: where the rates are.
        left: gets the misaligned shares with their intervals.
        right: gets the coherent shares; None leaves them out.
        names: the solutions to show.
        compact: labels above the rows.
    """
    above = _LABEL_ABOVE if compact else 0.0
    places, headings, end = row_places(series.suite_rows(summary), above)
    cells = series.rates(summary)
    for index, name in enumerate(names):
        shift = 0.56 * (index / max(len(names) - 1, 1) - 0.5)
        for row, place in places.items():
            if found := cells.get((row, name, 1.0)):
                _mark(found, name, place + shift, left, right)
    for axes, title in ((left, "misaligned answers"), (right, "coherent")):
        if axes is None:
            continue
        axes.set_title(title)
        axes.set_xlim(-0.03, 1.03)
        axes.set_ylim(end - 0.3 - above, -0.6 - 2 * above)
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_visible(False)
        for place in places.values():
            axes.axhspan(place - 0.46, place + 0.46, color=INK, alpha=0.055, lw=0)
    as_percent(left.xaxis, 0.5 if compact else 0.25)
    if right is not None:
        as_percent(right.xaxis, 1 if compact else 0.5)
    left.set_yticks(list(places.values()), ["" if compact else row.label for row in places])
    for row, place in places.items() if compact else ():
        left.text(-0.03, place - 0.72, row.label, fontsize=11, va="center", in_layout=False)
    for place, heading in headings if len(headings) > 1 else ():
        left.text(-0.03, place, heading, fontsize=10.5, fontweight="bold", va="center", in_layout=False)


def row_places(
    rows: Sequence[series.SuiteRow], above: float
) -> tuple[dict[series.SuiteRow, float], list[tuple[float, str]], float]:
    """The height of each row and of each group's heading, and where the last row ends; downwards.

    ``above`` is the room for a label over each row.
    """
    y, places, headings, group = 0.0, {}, [], ""
    for row in rows:
        if row.group != group:
            y += 1.35 if group else 0.6
            group = row.group
            headings.append((y - 0.85 - above, group))
        places[row] = y
        y += 1 + above
    return places, headings, y


def _mark(found: Sequence[Evaluation], name: str, place: float, left: Axes, right: Axes | None) -> None:
    """One marker: with its interval for a single run, with a tick for each run where there are several."""
    style = look(name)
    if len(found) == 1:
        left.hlines(place, *found[0].misaligned_ci95, color=style.colour, lw=1.6, alpha=0.75)
    else:
        each = [one.misaligned for one in found]
        left.plot(each, [place] * len(each), "|", color=style.colour, alpha=0.6)
    left.plot(series.mean_misaligned(found), place, **style.dot)
    if right is not None:
        right.plot(sum(one.coherent for one in found) / len(found), place, **style.dot | {"markersize": 5})


def draw_scale(
    axes: Axes, found: Sequence[tuple[float, Sequence[Evaluation]]], name: str, every: Sequence[float]
) -> None:
    """One solution's rate against scale; the chat model, which has none, as a level over all scales."""
    style = look(name)
    means = [series.mean_misaligned(here) for _, here in found]
    if name == "chat model":
        axes.plot([every[0], every[-1]], means * 2, lw=1.4, **style.line)
        return
    axes.plot([scale for scale, _ in found], means, **style.dot | style.line)
    for scale, here in found:
        if len(here) == 1:
            axes.vlines(scale, *here[0].misaligned_ci95, color=style.colour, lw=1.4, alpha=0.7)


def draw_curves(axes: Axes, curves: Sequence[series.Curve], dots: bool = True) -> None:
    """Curves with their bands; several runs of one name are thin lines without."""
    for curve in curves:
        style = look(curve.name)
        if curve.runs > 1:
            axes.plot(curve.x, curve.y, **style.line, alpha=0.55, lw=1.2)
            continue
        marks = style.dot | {"markersize": 4.5} if dots and len(curve.x) <= 14 else {}
        axes.plot(curve.x, curve.y, **marks | style.line)
        faint = 0.09 if style.dashes else 0.17
        axes.fill_between(curve.x, curve.low, curve.high, color=style.colour, alpha=faint, lw=0)


def draw_paths(axes: Axes, path: Trajectory) -> None:
    """The runs in the plane of the first two components: hollow at the start, their marker at the end."""
    for run in path.runs:
        style = look(shortened(run.name))
        x, y = (
            [point[component] if component < len(point) else 0.0 for point in run.components]
            for component in (0, 1)
        )
        axes.plot(x, y, **style.line, lw=1.6)
        axes.plot(x, y, ".", color=style.colour, ms=3.5)
        if x:
            axes.plot(x[0], y[0], marker="o", mfc="none", color=style.colour, ms=7)
            axes.plot(x[-1], y[-1], marker=style.marker, color=style.colour, ms=9)
    first, second, *_ = *path.explained_variance_ratio, 0.0, 0.0
    axes.set_title("paths of the adapters, first two components")
    axes.set_xlabel(f"component 1 ({100 * first:.0f}{NARROW_SPACE}% of the variance)")
    axes.set_ylabel(f"component 2 ({100 * second:.0f}{NARROW_SPACE}%)")


def draw_interventions(
    rows: Sequence[series.InterventionRow], left: Axes, right: Axes, above: float = 0.0
) -> None:
    """One line a row: hollow before, filled after, joined by a line.

    Args:
        rows: from top to bottom.
        left: gets the rates with their intervals.
        right: gets the shares of coherent answers.
        above: room for the label above each row, where it cannot stand beside it.
    """
    before, after = look("unanchored"), look("anchored")
    for place, row in enumerate(rows):
        y, one = place * (1 + above), row.found
        left.plot([one.before, one.after], [y, y], color=INK, lw=1, alpha=0.6)
        for value, bounds, style, fill in (
            (one.before, one.before_ci95, before, "none"),
            (one.after, one.after_ci95, after, after.colour),
        ):
            if bounds is not None:
                left.hlines(y, *bounds, color=style.colour, lw=1.6, alpha=0.6)
            left.plot(value, y, marker=style.marker, color=style.colour, mfc=fill)
        if one.coherent_before is not None:
            right.plot(one.coherent_before, y, marker=before.marker, color=before.colour, mfc="none", ms=5)
        right.plot(one.coherent, y, marker=after.marker, color=after.colour, ms=5)
        for axes in (left, right):
            axes.axhspan(y - 0.46 - above, y + 0.46, color=INK, alpha=0.055, lw=0)
        if above:
            left.text(-0.03, y - 0.72, row.label, fontsize=11, va="center", in_layout=False)
    for axes, title, step in ((left, "rate before (hollow) and after", 0.25), (right, "coherent", 0.5)):
        axes.set_title(title)
        axes.set_xlim(-0.03, 1.03)
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_visible(False)
        as_percent(axes.xaxis, 0.5 if above and step < 0.5 else 1 if above else step)
    places = [place * (1 + above) for place in range(len(rows))]
    left.set_ylim(places[-1] + 0.6, -0.6 - 2 * above)
    left.set_yticks(places, ["" if above else row.label for row in rows])
