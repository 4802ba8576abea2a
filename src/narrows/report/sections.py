"""The measured part of the page: one section for each kind of measurement that the run holds."""

from collections.abc import Callable, Sequence

from narrows.progress import track
from narrows.report import figures, series, study_curve_sections, study_further, study_sections, tables
from narrows.report.costs import costs_section
from narrows.report.direction_sections import (
    gradients_section,
    interventions_section,
    subspaces_section,
    trajectory_section,
)
from narrows.report.mitigations import mitigations_section
from narrows.report.over_runs import Study, several_runs
from narrows.report.picture import Caption, make_picture
from narrows.report.reading import Reading
from narrows.report.section import Section, spoken
from narrows.report.text import counted, number, percent
from narrows.summary import Summary


def rates_section(summary: Summary) -> Section | None:
    """Rates by suite, at the trained scale."""
    if not summary.evaluations:
        return None
    cells = series.rates(summary)
    names = series.shown_names(name for _, name, _ in cells)
    account = spoken(
        f"{row.label}, {name}: {percent(series.mean_misaligned(found), 0)}"
        for row in series.suite_rows(summary)
        for name in names
        if (found := cells.get((row, name, 1.0)))
    )
    caption = Caption(
        "Rates by suite",
        "A general solution is far to the right in every row; a narrow one only in its own domain, and at "
        "the chat "
        "model's place in all others. Whether it really is narrow shows in the domains the anchor never "
        "saw. A rate "
        "means little where coherence is low.",
        f"{'Ticks are single runs, markers their mean.' if _several(cells) else _LINES} {_answers(summary)}",
        f"Share of misaligned answers. {account}",
    )
    return Section(
        "rates",
        caption.title,
        "How often each model gives a misaligned answer, in its domain and everywhere else.",
        [make_picture(figures.rates, summary, "rates", caption)],
        [tables.rates_table(summary)],
    )


def scales_section(summary: Summary) -> Section | None:
    """Rates against scale."""
    rows = series.scaled_rows(summary)
    if not rows:
        return None
    cells = series.rates(summary)
    account = spoken(
        f"{row.label}, {name} at {number(scale)} times: {percent(series.mean_misaligned(found), 0)}"
        for (row, name, scale), found in cells.items()
        if row in rows and scale != 1
    )
    caption = Caption(
        "Rate against scale",
        "A truly narrow solution stays at the chat model's level (dashed) outside its domain while it is "
        "scaled up. "
        "Read each rate together with the coherence in the last panel.",
        f"{'Markers are means over the runs.' if _several(cells) else _LINES} {_answers(summary)}",
        f"Share of misaligned answers. {account}",
    )
    return Section(
        "scale",
        caption.title,
        "The same adapters, made longer. A solution that is narrow only because it is short is found out "
        "here.",
        [make_picture(figures.scales, summary, "scales", caption)],
    )


def efficiency_section(summary: Summary) -> Section | None:
    """Loss at equal norm."""
    if not summary.efficiency:
        return None
    losses, solutions = len(summary.efficiency), len({row.solution for row in summary.efficiency})
    caption = Caption(
        "Efficiency",
        "The lower of two curves is the more efficient solution at that norm. Ticks on the lower edge mark "
        "the trained "
        "norms; controls are dashed.",
        f"Losses at {counted(losses, 'point')} on the curves of {counted(solutions, 'solution')}; bands are "
        "95\u202f% and simultaneous over the norms.",
        f"Training loss in nats a token. {_ends(series.efficiency_curves(summary), 'norm')}",
    )
    return Section(
        "efficiency",
        caption.title,
        "How low the training loss gets for a given effective norm of the adapter (‖αv‖, ‖sBA‖).",
        [make_picture(figures.efficiency, summary, "efficiency", caption)],
        [tables.efficiency_table(summary)],
    )


def stability_section(summary: Summary) -> Section | None:
    """Rise of the loss under noise."""
    if not summary.stability:
        return None
    ratios, solutions = (
        {row.epsilon for row in summary.stability},
        {row.solution for row in summary.stability},
    )
    caption = Caption(
        "Stability",
        "The steeper curve is the less stable solution. 0\u202f% is the unperturbed loss, 100\u202f% the "
        "chat model's.",
        f"{counted(len(ratios), 'noise ratio')} for {counted(len(solutions), 'solution')}; bands are "
        "95\u202f%.",
        f"Relative rise of the loss. {_ends(series.stability_curves(summary), 'ε', as_percent=True)}",
    )
    return Section(
        "stability",
        caption.title,
        "What noise of the adapter's own norm, mixed in at ratio ε, does to the training loss.",
        [make_picture(figures.stability, summary, "stability", caption)],
        [tables.stability_table(summary)],
    )


def significance_section(summary: Summary) -> Section | None:
    """KL on ordinary text."""
    if not summary.significance:
        return None
    types, directions = series.text_types(summary), {row.direction for row in summary.significance}
    caption = Caption(
        "Significance",
        "KL from the chat model in nats a token; both axes are logarithmic. The higher of two curves "
        "matters more to the "
        "model. Random directions are the yardstick, those with the residual stream's covariance the fairer "
        "one.",
        f"{counted(len(directions), 'direction')} on {counted(len(types), 'type')} of text; bands are "
        "95\u202f%.",
        f"KL from the chat model. {_ends(series.significance_curves(summary, types[0]), 'norm')}",
    )
    return Section(
        "significance",
        caption.title,
        "How much each direction changes the model's predictions on ordinary text, by type of text.",
        [make_picture(figures.significance, summary, "significance", caption)],
        [tables.significance_table(summary)],
    )


def judges_section(reading: Reading) -> Section | None:
    """How judges agree over the same answers."""
    if not reading.agreements:
        return None
    moves = [
        f"{one.second} in the place of {one.first} moves the {one.criterion} rate "
        f"{percent(one.first_rate.value)} → {percent(one.second_rate.value)} over {counted(one.n, 'answer')}."
        for one in reading.agreements
        if one.first_rate and one.second_rate
    ]
    return Section(
        "judges",
        "Agreement of judges",
        " ".join(["The same answers, judged again.", *moves]),
        [],
        [tables.verdicts_table(reading.agreements), tables.scores_table(reading.agreements)],
    )


def further_section(summary: Summary) -> Section | None:
    """Measurements without a figure."""
    further = [] if summary.runs else tables.further_tables(summary)
    lead = "Measured in this run, without a figure."
    return Section("further", "Further measurements", lead, [], further) if further else None


_Maker = Callable[[Study], Section | None]


def measured_sections(summary: Summary) -> list[Section]:
    """All sections that have data, in reading order: of one run, or over a study's runs."""
    if summary.runs:
        study, makers = Study(summary), _over_runs(several_runs(summary))
        over = [make(study) for make in track(makers, "drawing the report")]
        own = [] if several_runs(summary) else _of_one_run(summary.model_copy(update={"trajectories": []}))
        sections = {one.id: one for one in [*own, *over, costs_section(summary)] if one}
        return sorted(sections.values(), key=lambda one: _ORDER.index(one.id))
    return _of_one_run(summary)


def _over_runs(several: bool) -> list[_Maker]:
    """What is shown of a study; of one run what a run without a study has not, and paths without its id."""
    both: list[_Maker] = [
        study_sections.frontier_section,
        study_sections.mixing_section,
        study_further.trajectory_section,
    ]
    return both if not several else [
        *both,
        study_sections.rates_section,
        study_sections.scales_section,
        study_curve_sections.efficiency_section,
        study_curve_sections.stability_section,
        study_curve_sections.significance_section,
        study_curve_sections.gradients_section,
        study_further.subspaces_section,
        study_further.interventions_section,
        study_further.mitigations_section,
    ]  # fmt: skip


_ORDER = (
    "rates", "frontier", "mixing", "scale", "efficiency", "stability", "significance", "trajectory",
    "gradients", "subspaces", "interventions", "mitigations", "further", "costs",
)  # fmt: skip


def _of_one_run(summary: Summary) -> list[Section]:
    """The sections of a single run."""
    makers = (
        mitigations_section,
        rates_section,
        scales_section,
        efficiency_section,
        stability_section,
        significance_section,
        trajectory_section,
        gradients_section,
        subspaces_section,
        interventions_section,
        further_section,
    )
    return [section for make in track(makers, "drawing the report") if (section := make(summary)) is not None]


_LINES = "Lines are 95\u202f% intervals."


def _several(cells: series.Rates) -> bool:
    """Whether some cell holds several runs."""
    return any(len(found) > 1 for found in cells.values())


def _ends(curves: Sequence[series.Curve], x_name: str, as_percent: bool = False) -> str:
    """The curves in words: where each begins and ends."""
    shown = percent if as_percent else number
    return spoken(
        f"{curve.name}: {shown(curve.y[0])} at {x_name} {number(curve.x[0])} to {shown(curve.y[-1])} "
        f"at {number(curve.x[-1])}"
        for curve in curves
    )


def _answers(summary: Summary) -> str:
    """How many answers stand behind a rate, and who judged them."""
    sizes = sorted({one.n for one in summary.evaluations})
    judges = ", ".join(sorted({one.judge for one in summary.evaluations}))
    span = str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    return f"{span} answers for each marker, judged by: {judges}."
