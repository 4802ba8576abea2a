"""Tables that several commands show."""

from collections.abc import Sequence

from rich.table import Table

from narrows.summary import Claim, ClaimVerdict, Evaluation, Interval

CLAIMS = {
    "C1": "without an anchor it spreads far outside the domain",
    "C2": "with the anchor it stays in the domain, also at 1.5 ×",
    "C4": "efficiency: at equal norm, general has the lower loss",
    "C5": "stability: under noise, narrow's loss rises faster",
    "C6": "significance: general moves ordinary text most",
    "C7": "anchor lifted: narrow moves back to general",
}
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


def plain_table(title: str, *columns: str, words: int = 1) -> Table:
    """A table whose first ``words`` columns are text and the others numbers."""
    table = Table(title=title, title_justify="left", title_style="bold", header_style="dim", box=None, pad_edge=False)
    for place, column in enumerate(columns):
        # Numbers stay on their line whatever the terminal's width; words give way.
        table.add_column(column, justify="left" if place < words else "right", no_wrap=place >= words)
    return table


def rate_cell(rate: float, bounds: Interval) -> str:
    """A rate with its interval, in percent."""
    return f"{100 * rate:.0f} % [dim]\\[{100 * bounds[0]:.0f}, {100 * bounds[1]:.0f}][/]"


def claims_table(claims: Sequence[Claim]) -> Table:
    """The verdicts, with the comparison that decided each."""
    from narrows.report.claims import SIGNS
    from narrows.report.text import estimate, short

    table = plain_table("Claims", "", "what it says", "verdict", "estimate", "95 %", "margin", words=3)
    for claim in claims:
        value, interval = estimate(claim.estimate, claim.ci95)
        colour = COLOURS[claim.verdict]
        compared = claim.unit.partition(";")[0]
        table.add_row(
            f"[bold]{claim.id}[/]",
            f"{CLAIMS.get(claim.id, '')}\n[dim]{compared}[/]",
            f"[{colour}]{SIGNS[claim.verdict]} {claim.verdict}[/]",
            value,
            interval.replace("[", "\\["),
            short(claim.margin),
        )
    return table


def solutions_table(evaluations: Sequence[Evaluation], solutions: Sequence[str], behaviour: str) -> Table:
    """Rates by suite, one column a solution, at scale 1."""
    table = plain_table(f"Share of {behaviour} answers", "", *solutions)
    found = {(one.solution, one.suite): one for one in evaluations if one.scale == 1.0}
    for suite, name in SUITES.items():
        if all((solution, suite) not in found for solution in solutions):
            continue
        cells = [found.get((solution, suite)) for solution in solutions]
        table.add_row(name, *(rate_cell(one.misaligned, one.misaligned_ci95) if one else "–" for one in cells))
    lowest = {
        solution: [one.coherent for (name, _), one in found.items() if name == solution]
        for solution in solutions
    }
    table.add_row(
        "[dim]lowest coherence[/]", *(f"[dim]{100 * min(some):.0f} %[/]" if some else "–" for some in lowest.values())
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
            table.add_section()
        previous = (one.solution, one.scale)
        table.add_row(
            one.solution,
            one.suite,
            {True: "yes", False: "no", None: ""}[one.anchored],
            f"{one.scale:g} ×",
            rate_cell(one.misaligned, one.misaligned_ci95),
            f"{100 * one.coherent:.0f} %",
            str(one.n),
        )
    return table
