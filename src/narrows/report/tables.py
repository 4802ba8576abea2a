"""The numbers behind the figures as tables of text cells."""

from collections.abc import Sequence
from dataclasses import dataclass

from narrows.report import series
from narrows.report.paper import FACTS
from narrows.report.reading import Agreement, Estimated, Reading
from narrows.report.style import rank
from narrows.report.text import (
    MISSING,
    duration,
    estimate,
    interval,
    number,
    percent,
    percent_interval,
    plain,
    short,
)
from narrows.summary import Summary

MOST_ROWS = 400


@dataclass(frozen=True)
class Table:
    """A table for reading: the first ``words`` columns are text, the others numbers.

    Attributes:
        title: above it.
        headers: of the columns.
        rows: of text cells.
        words: how many columns are text.
        file: of the run folder, which holds the same in full numbers.
        left_out: what the file holds beside these rows, in words.
    """

    title: str
    headers: tuple[str, ...]
    rows: list[tuple[str, ...]]
    words: int = 1
    file: str = ""
    left_out: str = ""

    @property
    def shown(self) -> list[tuple[str, ...]]:
        """The rows that stand on the page: a browser should not have to lay out thousands."""
        return self.rows[:MOST_ROWS]

    @property
    def note(self) -> str:
        """What is not here, and where it is; empty where all of it is."""
        said = []
        if len(self.rows) > MOST_ROWS:
            said.append(f"The first {MOST_ROWS} of {len(self.rows)} rows.")
        if self.left_out:
            said.append(self.left_out)
        if self.file:
            said.append(f"In full numbers: {self.file}")
        return " ".join(said)


def rates_table(summary: Summary) -> Table:
    """Every evaluation, by suite."""
    order = {row: place for place, row in enumerate(series.suite_rows(summary))}
    rows = sorted(
        (
            (series.row_of(summary, one), series.display_name(summary, one.solution), one)
            for one in summary.evaluations
        ),
        key=lambda item: (order[item[0]], rank(item[1]), item[2].scale),
    )
    return Table(
        "Rates, with the number of answers",
        ("suite", "anchored", "solution", "scale", "misaligned", "95 % interval", "coherent", "n", "judge"),
        [
            (
                row.label,
                plain(row.anchored),
                name,
                f"{short(one.scale)}×",
                percent(one.misaligned),
                percent_interval(one.misaligned_ci95),
                percent(one.coherent),
                str(one.n),
                one.judge,
            )
            for row, name, one in rows
        ],
        words=3,
        file="tables/evaluations.csv",
    )


def efficiency_table(summary: Summary) -> Table:
    """Loss at each norm."""
    rows = sorted(
        summary.efficiency,
        key=lambda row: (rank(series.display_name(summary, row.solution)), row.solution, row.norm),
    )
    return Table(
        "Loss at each norm",
        ("solution", "norm", "loss", "95 % band"),
        [
            (
                series.display_name(summary, row.solution),
                number(row.norm),
                number(row.loss, 4),
                interval(row.loss_ci95),
            )
            for row in rows
        ],
        file="tables/efficiency.csv",
    )


def stability_table(summary: Summary) -> Table:
    """Loss and relative rise at each ε."""
    rows = sorted(
        summary.stability,
        key=lambda row: (rank(series.display_name(summary, row.solution)), row.solution, row.epsilon),
    )
    return Table(
        "Rise at each ε",
        ("solution", "ε", "loss", "relative rise", "95 % band"),
        [
            (
                series.display_name(summary, row.solution),
                short(row.epsilon),
                number(row.loss, 4),
                percent(row.relative_increase),
                percent_interval(row.relative_increase_ci95),
            )
            for row in rows
        ],
        file="tables/stability.csv",
    )


def significance_table(summary: Summary) -> Table:
    """KL at each norm, by type of text."""
    types = series.text_types(summary)
    rows = sorted(
        summary.significance, key=lambda row: (types.index(row.text), rank(row.direction), row.norm)
    )
    return Table(
        "KL at each norm, nats a token",
        ("text", "direction", "norm", "KL", "95 % interval"),
        [
            (
                row.text,
                series.display_name(summary, row.direction),
                number(row.norm),
                number(row.kl),
                interval(row.kl_ci95),
            )
            for row in rows
        ],
        words=2,
        file="tables/significance.csv",
    )


def solutions_table(summary: Summary) -> Table:
    """Every trained adapter."""
    return Table(
        "All solutions",
        (
            "solution",
            "verdict",
            "model",
            "behaviour",
            "adapter",
            "layer",
            "λ",
            "seed",
            "steps",
            "‖v‖",
            "‖αv‖",
        ),
        [
            (
                series.display_name(summary, one.id) if one.id == one.name else f"{one.name} ({one.id})",
                one.verdict,
                one.model,
                one.behaviour,
                one.adapter if one.rank is None else f"{one.adapter}, rank {one.rank}",
                str(one.layer),
                short(one.kl_weight),
                str(one.seed),
                str(one.steps),
                number(one.norm),
                number(one.effective_norm),
            )
            for one in summary.solutions
        ],
        words=5,
        file="tables/solutions.csv",
    )


def further_tables(summary: Summary) -> list[Table]:
    """Measurements that have no figure here: mixtures."""
    mixing = Table(
        "Mixtures with good data",
        ("solution", "share of the behaviour's rows", "in domain", "out of domain"),
        [
            (
                series.display_name(summary, row.solution),
                percent(row.bad_fraction),
                percent(row.in_domain),
                percent(row.out_of_domain),
            )
            for row in summary.mixing
        ],
    )
    return [mixing] if mixing.rows else []


def timings_table(summary: Summary) -> Table:
    """How long each stage took, and all of them."""
    rows: list[tuple[str, ...]] = [
        (name.replace("_", " "), duration(seconds)) for name, seconds in summary.timings.items()
    ]
    if "total" not in summary.timings and len(rows) > 1:
        rows.append(("all stages", duration(sum(summary.timings.values()))))
    return Table("Timings", ("stage", "time"), rows)


def versions_table(reading: Reading) -> Table:
    """The versions a run was made with."""
    return Table(
        "Versions", ("part", "version"), [(name, plain(value)) for name, value in reading.versions.items()], 2
    )


def paper_table(reading: Reading) -> Table:
    """Numbers reported by the paper and its predecessors, and those that the run itself names."""
    rows: list[tuple[str, ...]] = [
        (fact.claim, fact.what, fact.value, fact.model, fact.source) for fact in FACTS
    ]
    rows += [("", one.what, plain(one.value), "", "") for one in reading.paper_numbers]
    return Table("The paper's numbers", ("claim", "what", "reported", "model", "source"), rows, 5)


def verdicts_table(agreements: Sequence[Agreement]) -> Table:
    """How the headline rate moves from judge to judge."""
    return Table(
        "Verdicts of two judges",
        (
            "first judge", "second judge", "what counts", "answers", "by both", "first", "second", "moved",
            "95\u202f%", "κ", "95\u202f%",
        ),
        [
            (
                one.first,
                one.second,
                one.criterion,
                str(one.matched),
                str(one.n),
                percent(one.first_rate.value if one.first_rate else None),
                percent(one.second_rate.value if one.second_rate else None),
                percent(one.moved.value if one.moved else None),
                percent_interval(one.moved.ci95 if one.moved else None),
                *_estimated(one.kappa),
            )
            for one in agreements
        ],
        words=3,
    )  # fmt: skip


def scores_table(agreements: Sequence[Agreement]) -> Table:
    """How two judges' scores go together, column by column."""
    return Table(
        "Scores of two judges",
        (
            "first judge", "second judge", "score", "by both", "Spearman", "95\u202f%",
            "second \u2212 first, points", "95\u202f%",
        ),
        [
            (
                one.first,
                one.second,
                column.column,
                str(column.n),
                *_estimated(column.spearman),
                *_estimated(column.shift),
            )
            for one in agreements
            for column in one.columns
        ],
        words=3,
    )  # fmt: skip


def _estimated(one: Estimated | None) -> tuple[str, str]:
    """A number and its interval."""
    return estimate(one.value, one.ci95) if one else (MISSING, MISSING)
