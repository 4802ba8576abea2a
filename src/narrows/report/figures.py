"""The figures: each function takes a summary and returns a matplotlib figure.

Each draws for a desk or, with ``compact``, for a telephone, on transparent ground in colours that light and
dark pages can show. :mod:`narrows.report.svg` writes them; what was not measured gives a figure that says so.
"""

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from narrows.report import series
from narrows.report.drawing import (
    NORM_LABEL,
    as_percent,
    draw_curves,
    draw_interventions,
    draw_paths,
    draw_rates,
    draw_scale,
)
from narrows.report.style import INK, SINGLE, legend, look, new_figure, panels, styled
from narrows.report.text import short, shortened
from narrows.summary import Summary


def _nothing(figure: Figure) -> Figure:
    figure.text(0.5, 0.5, "not measured in this run", ha="center", va="center")
    return figure


@styled
def rates(summary: Summary, *, compact: bool = False) -> Figure:
    """Rates by suite at scale 1: misaligned share with intervals, and coherent share beside it."""
    rows = series.suite_rows(summary)
    groups = len({row.group for row in rows})
    figure = new_figure(1.5 + 0.37 * (len(rows) * (1.55 if compact else 1) + 1.35 * groups), compact)
    if not rows:
        return _nothing(figure)
    names = series.shown_names(name for _, name, _ in series.rates(summary))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(2.6, 1))
    draw_rates(summary, left, right, names, compact)
    legend(figure, names, compact, lines=())
    return figure


@styled
def scales(summary: Summary, *, compact: bool = False) -> Figure:
    """Rate against the factor an adapter is scaled by, suite by suite, and the lowest coherence over all."""
    cells = series.rates(summary)
    rows = series.scaled_rows(summary)
    figure, axes = panels(len(rows) + 1 if rows else 0, compact, columns=4 if len(rows) < 4 else 3, height=3)
    if not rows:
        return _nothing(figure)
    names = series.shown_names(name for _, name, scale in cells if scale != 1 or name == "chat model")
    every = sorted({scale for _, _, scale in cells})
    for name in names:
        for row, panel in zip(rows, axes, strict=False):
            if found := sorted((s, here) for (r, n, s), here in cells.items() if (r, n) == (row, name)):
                draw_scale(panel, found, name, every)
        if name != "chat model":
            lowest = series.lowest_coherence(summary, name)
            axes[-1].plot(list(lowest), list(lowest.values()), **look(name).dot | look(name).line)
    titles = [row.label.removesuffix(" questions") for row in rows]
    for panel, title in zip(axes, [*titles, "coherent, lowest suite"], strict=True):
        panel.set_title(title)
        panel.set_ylim(-0.03, 1.03)
        panel.set_xlabel("scale")
        panel.xaxis.set_major_locator(FixedLocator(every))
        panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{short(value)}×"))
        as_percent(panel.yaxis, 0.25)
    legend(figure, names, compact)
    return figure


@styled
def efficiency(summary: Summary, *, compact: bool = False) -> Figure:
    """Training-data loss of every solution at equal norms, with bands; ticks below mark trained norms."""
    figure = new_figure(4.8, compact, width=SINGLE)
    curves = series.efficiency_curves(summary)
    if not curves:
        return _nothing(figure)
    axes = figure.subplots()
    draw_curves(axes, curves)
    names = {curve.name for curve in curves}
    for name, norms in series.trained_norms(summary).items():
        for norm in norms if name in names else ():
            axes.axvline(norm, ymax=0.045, color=look(name).colour, lw=2.4)
    axes.set_title("loss on the training data, nats a token")
    axes.set_xlabel(NORM_LABEL)
    legend(figure, names, compact)
    return figure


@styled
def stability(summary: Summary, *, compact: bool = False) -> Figure:
    """Relative rise of the loss under orthogonal noise of ratio ε: 0 % unperturbed, 100 % the chat model."""
    figure = new_figure(4.6, compact, width=SINGLE)
    curves = series.stability_curves(summary)
    if not curves:
        return _nothing(figure)
    axes = figure.subplots()
    draw_curves(axes, curves)
    axes.set_title("rise of the loss, share of the way to the chat model")
    axes.set_xlabel("noise ratio ε")
    as_percent(axes.yaxis)
    legend(figure, [curve.name for curve in curves], compact)
    return figure


@styled
def significance(summary: Summary, *, compact: bool = False) -> Figure:
    """KL from the chat model on ordinary text against norm, both logarithmic, one panel for each type."""
    by_type = {text: series.significance_curves(summary, text) for text in series.text_types(summary)}
    by_type = {text: curves for text, curves in by_type.items() if curves}
    columns = 2 if len(by_type) in (2, 4) else 3
    figure, axes = panels(len(by_type), compact, columns, height=3.3, sharey=True)
    if not by_type:
        return _nothing(figure)
    for (text, curves), panel in zip(by_type.items(), axes, strict=True):
        draw_curves(panel, curves, dots=False)
        panel.set(xscale="log", yscale="log")
        panel.set_title("all text" if text == "all" else shortened(text.replace("_", " "), 30))
        panel.set_xlabel(NORM_LABEL)
        panel.yaxis.set_major_locator(LogLocator(base=10, numticks=8))
        panel.xaxis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5), numticks=8))
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_minor_locator(NullLocator())
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    legend(figure, [curve.name for curves in by_type.values() for curve in curves], compact, dots=False)
    return figure


@styled
def trajectory(summary: Summary, index: int = 0, *, compact: bool = False) -> Figure:
    """The paths of one trajectory in a principal-component plane; beside it by step what was measured there.

    Cosine to both ends and norm; distance to both ends and local cosine where the summary holds them.
    """
    if index >= len(summary.trajectories):
        return _nothing(new_figure(6.6, compact))
    path = summary.trajectories[index]
    columns = [
        name for name in series.TRAJECTORY_COLUMNS if any(any(getattr(run, name)) for run in path.runs)
    ]
    across = -(-len(columns) // 3)
    figure = new_figure(4.5 + 2.5 * len(columns) if compact else 6.6, compact)
    if compact:
        plane, *beside = figure.subplots(1 + len(columns), 1, height_ratios=(1.7, *[1] * len(columns)))
    else:
        grid = figure.add_gridspec(3, 1 + across, width_ratios=(1.35, *[1 if across == 1 else 0.8] * across))
        plane = figure.add_subplot(grid[:, 0])
        beside = [figure.add_subplot(grid[place % 3, 1 + place // 3]) for place in range(len(columns))]
    draw_paths(plane, path)
    for panel, name in zip(beside, columns, strict=True):
        for run in path.runs:
            known = [(x, y) for x, y in zip(run.steps, getattr(run, name), strict=False) if y is not None]
            if known:
                panel.plot(*zip(*known, strict=True), **look(shortened(run.name)).line, lw=1.7)
        panel.set_title(series.TRAJECTORY_COLUMNS[name])
    for last in beside[2::3] if not compact else beside[-1:]:
        last.set_xlabel("step")
    legend(figure, [shortened(run.name) for run in path.runs], compact)
    return figure


@styled
def gradients(summary: Summary, *, compact: bool = False) -> Figure:
    """Cosine of the loss gradient with the general and the narrow solution by step, a panel for each run."""
    runs = series.gradient_runs(summary)
    figure, axes = panels(
        len(runs), compact, columns=2 if len(runs) in (2, 4) else 3, height=3.3, sharey=True
    )
    if not runs:
        return _nothing(figure)
    for (name, found), panel in zip(runs.items(), axes, strict=True):
        draw_curves(panel, found, dots=False)
        panel.axhline(0, lw=0.8, color=INK)
        panel.set_title(shortened(name, 30))
        panel.set_xlabel("step")
    legend(figure, ("unanchored", "anchored"), compact, dots=False, labels=series.GRADIENT_LABELS)
    return figure


@styled
def subspaces(summary: Summary, *, compact: bool = False) -> Figure:
    """Rates and coherence of the k-th vector at a right angle to all before; 0 is the chat model."""
    figure = new_figure(7.2 if compact else 4.4, compact)
    if not summary.subspaces:
        return _nothing(figure)
    if compact:
        left, right = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    else:
        left, right = figure.subplots(1, 2, width_ratios=(2, 1))
    for place, curve in enumerate(series.subspace_curves(summary)):
        style, at = (
            look(curve.name),
            [x + 0.14 * (place - 1) for x in curve.x],
        )  # beside, not over, each other
        left.plot(at, curve.y, **style.line, lw=1, alpha=0.5)
        left.vlines(at, curve.low, curve.high, color=style.colour, lw=1.6, alpha=0.7)
        left.plot(at, curve.y, **style.dot, ls="none")
    rows = sorted(summary.subspaces, key=lambda row: row.index)
    right.plot([row.index for row in rows], [row.coherent for row in rows], "-o", color=INK, ms=4.5)
    for panel, title in ((left, "share of answers that show it"), (right, "coherent, lowest suite")):
        panel.set_title(title)
        panel.set_ylim(-0.03, 1.03)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        as_percent(panel.yaxis, 0.25)
        if panel is right or not compact:
            panel.set_xlabel("vector (0 is the chat model)")
    legend(figure, series.SUBSPACE_LABELS, compact, labels=series.SUBSPACE_LABELS)
    return figure


@styled
def interventions(summary: Summary, *, compact: bool = False) -> Figure:
    """Rates before (hollow) and after an intervention (filled), one row for each; coherence beside."""
    rows = series.intervention_rows(summary)
    above = 0.55 if compact else 0.0
    figure = new_figure(1.7 + 0.42 * len(rows) * (1 + above), compact)
    if not rows:
        return _nothing(figure)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(2.4, 1))
    draw_interventions(rows, left, right, above)
    return figure


@styled
def readme_figure(summary: Summary) -> Figure:
    """One wide picture: rates by suite on the left, loss against norm on the right."""
    rows = series.suite_rows(summary)
    figure = new_figure(max(4.6, 1.5 + 0.34 * len(rows)))
    if not rows and not summary.efficiency:
        return _nothing(figure)
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    names = series.shown_names(name for _, name, _ in series.rates(summary))
    names = [name for name in names if name != "lifted"]
    draw_rates(summary, left, None, names)
    left.set_title("misaligned answers, by suite")
    curves = [curve for curve in series.efficiency_curves(summary) if curve.name in names]
    draw_curves(right, curves)
    right.set_title("loss on the training data at equal norm")
    right.set_xlabel(NORM_LABEL)
    drawn = [curve.name for curve in curves]
    verdicts = {series.display_name(summary, one.id): one.verdict for one in summary.solutions}
    labels = {
        name: f"{name} ({verdicts[name]})" for name in names if verdicts.get(name, "neither") != "neither"
    }
    legend(figure, [*names, *drawn], lines=drawn, labels=labels)
    return figure
