"""A study's claims as a table for terminals."""

from typing import TYPE_CHECKING

from narrows.cli.tables import plain_table, verdict_cell

if TYPE_CHECKING:
    from rich.table import Table

    from narrows.summary import Summary

WIDE = 100


def pooled_table(summary: "Summary", width: int = 80) -> "Table":
    """Each claim by kind of behaviour and adapter: the verdict over runs, and how many runs gave each.

    A study of one run each has nothing to pool: then the runs' own verdicts stand there.
    """
    from narrows.report.claims import SIGNS
    from narrows.report.pooled import headline

    table = plain_table("Claims", "claim", "behaviour", "adapter", "verdict", "runs", "estimate", words=4)
    if any(one.parts for one in summary.pooled):
        for pooled in summary.pooled:
            tally = " ".join(
                f"{pooled.tally[key]}{sign}" for key, sign in SIGNS.items() if key in pooled.tally
            )
            head = headline(pooled)
            table.add_row(
                pooled.id, pooled.kind, pooled.adapter, verdict_cell(pooled.verdict), tally,
                "" if head is None else _estimate(head.estimate, head.ci95, width),
            )  # fmt: skip
        return table
    for claim in summary.claims:
        estimate = "" if claim.estimate is None else _estimate(claim.estimate, claim.ci95, width)
        table.add_row(claim.id, claim.behaviour, claim.run or "", verdict_cell(claim.verdict), "1", estimate)
    return table


def _estimate(value: float, ci95: tuple[float, float] | None, width: int) -> str:
    if ci95 is None or width < WIDE:
        return f"{value:.3g}"
    return f"{value:.3g} [{ci95[0]:.3g}, {ci95[1]:.3g}]"
