"""The numbers behind the sections about directions."""

from narrows.report import series
from narrows.report.tables import Table
from narrows.report.text import MISSING, estimate, interval, number, percent, percent_interval
from narrows.summary import Summary


def trajectory_table(summary: Summary) -> Table:
    """Where each run began and ended."""
    rows = []
    for path in summary.trajectories:
        for run in path.runs:
            columns = (
                run.cos_general, run.cos_narrow, run.norm, run.distance_general, run.distance_narrow
            )  # fmt: skip
            cells = [
                f"{number(values[0])} → {number(values[-1])}" if values else MISSING for values in columns
            ]
            turns = [
                (cos, step) for cos, step in zip(run.local_cosine, run.steps, strict=False) if cos is not None
            ]
            turn = f"{number(min(turns)[0])} at {min(turns)[1]}" if turns else MISSING
            rows.append((run.name, str(run.steps[-1]), str(len(run.steps)), *cells, turn))
    return Table(
        "First and last checkpoint of every run",
        (
            "run", "last step", "checkpoints", "cosine to general", "cosine to narrow", "norm",
            "distance to general", "distance to narrow", "sharpest turn, local cosine at step",
        ),
        rows,
        file="tables/trajectories.csv",
    )  # fmt: skip


def gradients_table(summary: Summary) -> Table:
    """The gradient's cosines at every step."""
    return Table(
        "Cosine of the loss gradient",
        ("run", "step", "with general", "95 %", "with narrow", "95 %"),
        [
            (
                row.run,
                str(row.step),
                number(row.cos_general),
                interval(row.cos_general_ci95),
                number(row.cos_narrow),
                interval(row.cos_narrow_ci95),
            )
            for row in summary.gradients
        ],
        file="tables/gradients.csv",
    )


def subspaces_table(summary: Summary) -> Table:
    """Every orthogonal vector: rates, lowest coherence, loss and norm."""
    return Table(
        "Vectors at right angles",
        (
            "vector", "in domain", "95 %", "other domains", "95 %", "open", "95 %", "coherent, lowest suite",
            "training loss", "95 %", "norm", "verdict",
        ),
        [
            (
                str(row.index) if row.index else "chat model",
                percent(row.in_domain),
                percent_interval(row.in_domain_ci95),
                percent(row.out_of_domain),
                percent_interval(row.out_of_domain_ci95),
                percent(row.open),
                percent_interval(row.open_ci95),
                percent(row.coherent),
                *estimate(row.loss, row.loss_ci95),
                number(row.norm),
                next((one.verdict for one in summary.solutions if one.id == row.solution), MISSING),
            )
            for row in summary.subspaces
        ],
        file="tables/subspaces.csv",
    )  # fmt: skip


def interventions_table(summary: Summary) -> Table:
    """Every intervention: rates and coherence before and after, and the loss on ordinary text."""
    return Table(
        "Interventions",
        (
            "solution", "direction", "kind", "suite", "rate before", "95 %", "rate after", "95 %",
            "coherent before", "after", "text loss, share of before",
        ),
        [
            (
                series.display_name(summary, row.solution),
                row.direction,
                row.kind,
                row.suite.replace("_", " "),
                percent(row.before),
                percent_interval(row.before_ci95),
                percent(row.after),
                percent_interval(row.after_ci95),
                percent(row.coherent_before),
                percent(row.coherent),
                number(row.text_loss, 4),
            )
            for row in summary.interventions
        ],
        words=4,
        file="tables/interventions.csv",
    )  # fmt: skip
