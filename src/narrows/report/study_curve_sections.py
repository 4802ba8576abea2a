"""A study's sections about curves: efficiency, stability, significance and gradients, over its runs."""

from collections.abc import Sequence
from dataclasses import dataclass

from narrows.report import sheet, study_curves
from narrows.report.grouped import data_words, group_columns
from narrows.report.over_runs import Group, Spread, Study, kind_title, slugs
from narrows.report.picture import Caption, Picture, make_picture
from narrows.report.section import Section, spoken
from narrows.report.series import GRADIENT_LABELS
from narrows.report.sheet import Sheet
from narrows.report.study_curves import SHARE_LABEL, CurveView, MeanCurve, curves_over_runs, mean_curves
from narrows.report.tables import Table
from narrows.report.text import number, percent

_MIDDLE = "Runs that were measured at different places are interpolated between their own."


def efficiency_section(study: Study) -> Section | None:
    """Loss at equal norm."""
    curves = mean_curves(study, study_curves.efficiency_points(study))
    if not curves:
        return None
    see = (
        "The lower of two curves is the more efficient solution at that norm; at 1 stands the larger of the two "
        "trained norms of a run. Controls are dashed. The bands hold what differs from model to model too: the "
        "paired comparison is C4's, in the table of claims."
    )
    view = CurveView([], SHARE_LABEL, "loss, nats a token")
    return Section(
        "efficiency",
        "Loss against equal norm",
        "How low the training loss gets for a given effective norm of the adapter (‖αv‖, ‖sBA‖).",
        _pictures(study, "efficiency", "Loss against equal norm", curves, view, see, _MIDDLE),
        *_tables(
            "efficiency-over-runs", "Loss at each norm", curves, "norm", "share of the larger trained norm", "loss",
            "nats per token",
        ),
    )  # fmt: skip


def stability_section(study: Study) -> Section | None:
    """Rise of the loss under noise."""
    curves = mean_curves(study, study_curves.stability_points(study))
    if not curves:
        return None
    see = (
        "The steeper curve is the less stable solution. 0\u202f% is the unperturbed loss, 100\u202f% the chat "
        "model's. Controls, at equal norm and at matched loss, are dashed."
    )
    view = CurveView([], "noise ratio ε", "rise of the loss", "percent")
    return Section(
        "stability",
        "Loss against ε",
        "What noise of the adapter's own norm, mixed in at ratio ε, does to the training loss.",
        _pictures(study, "stability", "Loss against ε", curves, view, see),
        *_tables(
            "stability-over-runs", "Rise at each ε", curves, "ε", "noise ratio", "relative rise",
            "fraction of the way to the chat model",
        ),
    )  # fmt: skip


def significance_section(study: Study) -> Section | None:
    """KL on ordinary text."""
    types = study_curves.text_types(study.summary)
    if not types:
        return None
    by_type = {
        text: mean_curves(study, study_curves.significance_points(study, text), logarithmic=True)
        for text in types
    }
    curves = by_type[types[0]]
    if not curves:
        return None
    see = (
        "KL from the chat model on ordinary text, both axes logarithmic. The higher of two curves matters more to "
        "the model. Random directions are the yardstick, those with the residual stream's covariance the fairer "
        "one."
    )
    note = f"Geometric means, on text of the type “{types[0]}”; the other types are in the file. {_MIDDLE}"
    view = CurveView([], SHARE_LABEL, "KL, nats a token", "log")
    rows = [_Point(curve, x, y, text) for text in types for curve in by_type[text]
            for x, y in zip(curve.x, curve.y, strict=True)]  # fmt: skip
    table, file = sheet.tabulated(
        "significance-over-runs",
        "KL at each norm",
        [
            *group_columns(),
            sheet.words("text", lambda row: row.text),
            sheet.words("direction", lambda row: row.name),
            sheet.amount("norm", lambda row: row.x, "share of the larger trained norm"),
            sheet.quantity("KL, geometric", lambda row: row.y, "nats per token"),
            sheet.amount("runs", lambda row: row.y.runs),
        ],
        rows,
        4,
        on_page=lambda row: row.text == types[0],
        left_out="Other types of text are in the file.",
    )
    return Section(
        "significance",
        "KL against norm",
        "How much each direction changes the model's predictions on ordinary text.",
        _pictures(study, "significance", "KL against norm", curves, view, see, note),
        [table],
        [file],
    )


def gradients_section(study: Study) -> Section | None:
    """The gradient's cosines along training."""
    curves = mean_curves(study, study_curves.gradient_points(study))
    if not curves:
        return None
    see = "Training is pulled towards the solution with the higher curve. Near 0 it is pulled towards neither."
    view = CurveView([], "share of the training", "cosine", labels=GRADIENT_LABELS, zero=True)
    return Section(
        "gradients",
        "Gradients",
        "Where the loss pulls an adapter while it is trained: the cosine of the way down with the general and with "
        "the narrow solution, both of other runs.",
        _pictures(study, "gradients", "Gradients", curves, view, see),
        *_tables(
            "gradients-over-runs", "Cosine of the loss gradient", curves, "training", "share of its steps", "cosine",
            "cosine", labels=GRADIENT_LABELS,
        ),
    )  # fmt: skip


def _pictures(
    study: Study, name: str, title: str, curves: list[MeanCurve], view: CurveView, see: str, note: str = ""
) -> list[Picture]:
    """One figure for each kind of behaviour."""
    made = []
    shown = percent if view.scale == "percent" else number
    for kind, slug in slugs(study.kinds).items():
        mine = CurveView(
            [curve for curve in curves if curve.group.kind == kind],
            view.x,
            view.y,
            view.scale,
            view.labels,
            view.zero,
        )
        if not mine.known:
            continue
        groups = list(dict.fromkeys(curve.group for curve in mine.known))
        account = spoken(
            f"{curve.group.title}, {(view.labels or {}).get(curve.name, curve.name)}: {shown(curve.y[0].mean)} at "
            f"{number(curve.x[0])} to {shown(curve.y[-1].mean)} at {number(curve.x[-1])}"
            for curve in mine.known
        )
        caption = Caption(
            title, see, f"{data_words(groups, lines='Bands', own=False)} {note}".strip(), account, kind_title(kind) if slug else ""
        )
        made.append(make_picture(curves_over_runs, mine, f"{name}{slug}", caption))
    return made


@dataclass(frozen=True)
class _Point:
    """One point of a mean curve as a row of a table."""

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


def _tables(
    file: str,
    title: str,
    curves: Sequence[MeanCurve],
    x: str,
    x_unit: str,
    y: str,
    y_unit: str,
    *,
    labels: dict[str, str] | None = None,
) -> tuple[list[Table], list[Sheet]]:
    """The points of mean curves, on the page and as a file."""
    named = labels or {}
    value = (
        sheet.rate(y, lambda row: row.y)
        if y_unit.startswith("fraction")
        else sheet.quantity(y, lambda row: row.y, y_unit)
    )
    table, made = sheet.tabulated(
        file,
        title,
        [
            *group_columns(),
            sheet.words("solution", lambda row: named.get(row.name, row.name)),
            sheet.amount(x, lambda row: row.x, x_unit),
            value,
            sheet.amount("runs", lambda row: row.y.runs),
        ],
        [_Point(curve, at, one) for curve in curves for at, one in zip(curve.x, curve.y, strict=True)],
        3,
    )
    return [table], [made]
