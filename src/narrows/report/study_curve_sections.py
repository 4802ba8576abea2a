"""A study's sections about curves: efficiency, stability, significance and gradients, over its runs."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from narrows.report import sheet, study_curves
from narrows.report.grouped import data_words, group_columns
from narrows.report.over_runs import Group, Spread, Study, kind_title, slugs
from narrows.report.picture import Caption, Picture, make_picture
from narrows.report.section import Section, spoken
from narrows.report.series import GRADIENT_LABELS
from narrows.report.sheet import Column, Sheet
from narrows.report.study_curves import SHARE_LABEL, CurveView, MeanCurve, curves_over_runs, mean_curves
from narrows.report.tables import Table
from narrows.report.text import number, percent

_BETWEEN = "Runs that were measured at different places are interpolated between their own."


@dataclass(frozen=True)
class _Point:
    """One point of a mean curve as a row of a table; ``text`` is the type of text it is about."""

    curve: MeanCurve
    x: float
    y: Spread
    text: str = ""

    @property
    def group(self) -> Group:
        return self.curve.group

    @property
    def name(self) -> str:
        return self.curve.name


@dataclass(frozen=True)
class _Measure:
    """How one quantity is shown and told.

    Attributes:
        id: of the section, its figures and its file.
        title: of the section.
        lead: under the title.
        view: the figure without its curves.
        see: what to see in it.
        x: the table's column of places, with its unit.
        y: the table's column of values, with its unit.
        note: what the caption adds on the data.
        labels: other words for the names of curves.
    """

    id: str
    title: str
    lead: str
    view: CurveView
    see: str
    x: tuple[str, str]
    y: tuple[str, str]
    note: str = ""
    labels: dict[str, str] = field(default_factory=dict)


def efficiency_section(study: Study) -> Section | None:
    """Loss at equal norm."""
    measure = _Measure(
        "efficiency",
        "Loss against equal norm",
        "How low the training loss gets for a given effective norm of the adapter (‖αv‖, ‖sBA‖).",
        CurveView([], SHARE_LABEL, "loss, nats a token"),
        "The lower of two curves is the more efficient solution at that norm; at 1 stands the larger of a "
        "run's two trained norms. Controls are dashed. The bands hold what differs from model to model "
        "too: the paired comparison is C4's, in the table of claims.",
        ("norm", "share of the larger trained norm"),
        ("loss", "nats per token"),
        _BETWEEN,
    )
    return _section(study, measure, mean_curves(study, study_curves.efficiency_points(study)))


def stability_section(study: Study) -> Section | None:
    """Rise of the loss under noise."""
    measure = _Measure(
        "stability",
        "Loss against ε",
        "What noise of the adapter's own norm, mixed in at ratio ε, does to the training loss.",
        CurveView([], "noise ratio ε", "rise of the loss", "percent"),
        "The steeper curve is the less stable solution. 0\u202f% is the unperturbed loss, 100\u202f% the "
        "chat model's. Controls, at equal norm and at matched loss, are dashed or dotted.",
        ("ε", "noise ratio"),
        ("relative rise", "fraction of the way to the chat model"),
    )
    return _section(study, measure, mean_curves(study, study_curves.stability_points(study)))


def significance_section(study: Study) -> Section | None:
    """KL on ordinary text: a figure of the first type, all types in the file."""
    types = study_curves.text_types(study.summary)
    by_type = {
        text: mean_curves(study, study_curves.significance_points(study, text), logarithmic=True)
        for text in types
    }
    measure = _Measure(
        "significance",
        "KL against norm",
        "How much each direction changes the model's predictions on ordinary text.",
        CurveView([], SHARE_LABEL, "KL, nats a token", "log"),
        "KL from the chat model, both axes logarithmic. The higher of two curves matters more to the "
        "model. Random directions are the yardstick, those with the residual stream's covariance the "
        "fairer one.",
        ("norm", "share of the larger trained norm"),
        ("KL, geometric", "nats per token"),
        f"Geometric means, on text of the type “{types[0] if types else ''}”; the other types are in the "
        f"table's file. {_BETWEEN}",
    )
    section = _section(study, measure, by_type[types[0]]) if types else None
    if section is None:
        return None
    rows = [point for text in types for point in _points(by_type[text], text)]
    words: Column[_Point] = sheet.words("text", lambda row: row.text)
    table, file = sheet.tabulated(
        "significance-over-runs",
        measure.title,
        [words, *_columns(measure)],
        rows,
        4,
        on_page=lambda row: row.text == types[0],
        left_out="Other types of text are in the file.",
    )
    return replace(section, tables=[table], sheets=[file])


def gradients_section(study: Study) -> Section | None:
    """The gradient's cosines along training."""
    measure = _Measure(
        "gradients",
        "Gradients",
        "Where the loss pulls an adapter while it is trained: the cosine of the way down with the general "
        "and with the narrow solution, both of other runs.",
        CurveView([], "share of the training", "cosine", labels=GRADIENT_LABELS, zero=True),
        "Training is pulled towards the solution with the higher curve. Near 0 it is pulled towards neither.",
        ("training", "share of its steps"),
        ("cosine", "cosine"),
        labels=GRADIENT_LABELS,
    )
    return _section(study, measure, mean_curves(study, study_curves.gradient_points(study)))


def _section(study: Study, measure: _Measure, curves: list[MeanCurve]) -> Section | None:
    """A figure for each kind of behaviour and the points of its curves; None where there are none."""
    pictures = []
    for kind, slug in slugs(study.kinds).items():
        view = replace(measure.view, curves=[curve for curve in curves if curve.group.kind == kind])
        if view.known:
            pictures.append(_picture(measure, view, slug, kind_title(kind) if slug else ""))
    if not pictures:
        return None
    tables, sheets = _table(measure, curves)
    return Section(measure.id, measure.title, measure.lead, pictures, tables, sheets)


def _picture(measure: _Measure, view: CurveView, slug: str, heading: str) -> Picture:
    """The figure of one kind of behaviour."""
    groups = list(dict.fromkeys(curve.group for curve in view.known))
    shown = percent if view.scale == "percent" else number
    account = spoken(
        f"{curve.group.title}, {measure.labels.get(curve.name, curve.name)}: {shown(curve.y[0].mean)} at "
        f"{number(curve.x[0])} to {shown(curve.y[-1].mean)} at {number(curve.x[-1])}"
        for curve in view.known
    )
    data = f"{data_words(groups, lines='Bands', own=False)} {measure.note}".strip()
    caption = Caption(measure.title, measure.see, data, account, heading)
    return make_picture(curves_over_runs, view, f"{measure.id}{slug}", caption)


def _points(curves: Sequence[MeanCurve], text: str = "") -> list[_Point]:
    return [_Point(curve, x, y, text) for curve in curves for x, y in zip(curve.x, curve.y, strict=True)]


def _columns(measure: _Measure) -> list[Column[_Point]]:
    """The columns of a table of points."""
    name, unit = measure.y
    value: Column[_Point] = (
        sheet.rate(name, lambda row: row.y, unit)
        if measure.view.scale == "percent"
        else sheet.quantity(name, lambda row: row.y, unit)
    )
    return [
        *group_columns(),
        sheet.words("solution", lambda row: measure.labels.get(row.name, row.name)),
        sheet.amount(measure.x[0], lambda row: row.x, measure.x[1]),
        value,
        sheet.amount("runs", lambda row: row.y.runs),
    ]


def _table(measure: _Measure, curves: Sequence[MeanCurve]) -> tuple[list[Table], list[Sheet]]:
    """The points of mean curves, on the page and as a file."""
    name = f"{measure.id}-over-runs"
    table, file = sheet.tabulated(name, measure.title, _columns(measure), _points(curves), 3)
    return [table], [file]
