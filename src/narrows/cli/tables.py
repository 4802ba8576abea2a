"""Tables that several commands show."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from narrows.summary import Claim, ClaimVerdict, Evaluation, Interval

if TYPE_CHECKING:
    from narrows.evaluation.rates.agreement import Agreement
    from narrows.statistics.association import Estimate
    from narrows.study.sweep.cells import Measured

MISSING = "–"
"""What stands in a cell without a number."""

CLAIMS = {
    "C1": "no anchor: it spreads",
    "C2": "anchor: it stays narrow",
    "C3": "good rows mixed in: both rates fall",
    "C4": "general: lower loss at equal norm",
    "C5": "narrow: less stable under noise",
    "C6": "general: moves ordinary text most",
    "C7": "anchor lifted: it turns general",
    "C8": "the gradient points to the general",
    "C9": "the same for a harmless register",
    "C10": "one direction ablated: it is gone",
}
WIDE = 130
"""Columns from which on a table may also say what was compared."""
COLOURS: dict[ClaimVerdict, str] = {
    "supported": "green",
    "not-supported": "red",
    "inconclusive": "yellow",
    "not-run": "dim",
}
SUITES = {
    "in_domain": "in domain (held-out topics)",
    "out_of_domain": "other domains",
    "out_of_domain:anchored": "  of which anchored",
    "out_of_domain:never_anchored": "  of which never anchored",
    "open": "open questions",
}
MEANS = {
    "out_of_domain": "mean of other domains",
    "out_of_domain:anchored": "  anchored ones",
    "out_of_domain:never_anchored": "  never anchored ones",
}


def plain_table(title: str, *columns: str, words: int = 1) -> Table:
    """A table whose first ``words`` columns are text and the others numbers."""
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        header_style="dim",
        box=None,
        pad_edge=False,
        min_width=len(title),  # a title is broken where its table is narrower
    )
    for place, column in enumerate(columns):
        # Numbers stay on their line whatever the terminal's width; words give way.
        table.add_column(column, justify="left" if place < words else "right", no_wrap=place >= words)
    return table


def rate_cell(rate: float, bounds: Interval) -> str:
    """A rate with its interval, in percent."""
    return f"{100 * rate:.0f} % [dim]\\[{100 * bounds[0]:.0f}, {100 * bounds[1]:.0f}][/]"


def measured_cell(measured: "Measured | None") -> str:
    """A measured rate with its interval, in percent; a dash where there is none."""
    return MISSING if measured is None else rate_cell(measured.value, measured.ci95)


def verdict_cell(verdict: ClaimVerdict) -> str:
    """A verdict with its sign, coloured."""
    from narrows.report.claims import SIGNS

    return f"[{COLOURS[verdict]}]{SIGNS[verdict]} {verdict}[/]"


def claims_table(claims: Sequence[Claim], width: int = 80) -> Table:
    """The verdicts; on a wide terminal with the comparison that decided each."""
    from narrows.report.text import estimate, short

    table = plain_table("Claims", "", "what it says", "verdict", "estimate, 95 %", "margin", words=3)
    if width >= WIDE:
        table.add_column("decided by", style="dim")
    for claim in claims:
        value, interval = estimate(claim.estimate, claim.ci95)
        compared = [escape(claim.unit.partition(";")[0])] if width >= WIDE else []
        table.add_row(
            f"[bold]{claim.id}[/]",
            CLAIMS.get(claim.id, ""),
            verdict_cell(claim.verdict),
            value + (f" [dim]{escape(interval)}[/]" if claim.ci95 else ""),
            short(claim.margin),
            *compared,
        )
    return table


def solutions_table(
    evaluations: Sequence[Evaluation], columns: Mapping[str, tuple[str, float]], behaviour: str
) -> Table:
    """Rates on the suites that matter, side by side.

    Args:
        evaluations: rows of a summary.
        columns: a solution and its scale, by the column's name.
        behaviour: what the answers show.
    """
    table = plain_table(f"Share of {behaviour} answers", "", *columns)
    found = {(one.solution, one.scale, one.suite): one for one in evaluations}
    for suite, name in SUITES.items():
        cells = [found.get((*place, suite)) for place in columns.values()]
        if any(cells):
            shown = [rate_cell(one.misaligned, one.misaligned_ci95) if one else "–" for one in cells]
            table.add_row(name, *shown)
    lowest = [
        min((one.coherent for key, one in found.items() if key[:2] == place), default=None)
        for place in columns.values()
    ]
    table.add_row(
        "lowest coherence", *("–" if one is None else f"{100 * one:.0f} %" for one in lowest), style="dim"
    )
    return table


def rates_table(evaluations: Sequence[Evaluation], shown: str = "shown") -> Table:
    """Rates, one row for each solution, scale and suite."""
    table = plain_table(
        "Rates by suite", "solution", "suite", "anchored", "scale", shown, "coherent", "answers", words=3
    )
    previous: tuple[str, float] | None = None
    for one in evaluations:
        if previous not in (None, (one.solution, one.scale)):
            table.add_row()
        previous = (one.solution, one.scale)
        table.add_row(
            escape(one.solution),
            MEANS.get(one.suite, escape(one.suite)),
            {True: "yes", False: "no", None: ""}[one.anchored],
            f"{one.scale:g} ×",
            rate_cell(one.misaligned, one.misaligned_ci95),
            f"{100 * one.coherent:.0f} %",
            str(one.n),
        )
    return table


def agreement_tables(found: "Agreement") -> tuple[Table, Table]:
    """How two judges agree: on the verdicts, and on each score."""
    from narrows.report.text import estimate, percent, percent_interval

    def cells(one: "Estimate | None") -> tuple[str, str]:
        bounds = None if one is None or one.low is None or one.high is None else (one.low, one.high)
        value, interval = estimate(one.value if one else None, bounds)
        return value, interval.replace("[", "\\[")

    title, bounds = f"Verdicts of two judges: {found.criterion.name}", "95 %"
    verdicts = plain_table(title, "answers", "first", "second", "moved", bounds, "κ", bounds, words=0)
    moved = found.moved
    verdicts.add_row(
        str(found.n),
        *(percent(one.rate if one else None) for one in (found.rate_a, found.rate_b)),
        percent(moved.difference if moved else None),
        percent_interval((moved.low, moved.high) if moved else None).replace("[", "\\["),
        *cells(found.kappa),
    )
    scores = plain_table(
        "Scores of two judges", "score", "answers", "Spearman", "95 %", "second − first, points", "95 %"
    )
    for one in found.columns.values():
        scores.add_row(escape(one.column), str(one.n), *cells(one.spearman), *cells(one.shift))
    return verdicts, scores
