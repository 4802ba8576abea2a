"""The page's section on mitigations: what each method does at each strength, and what it costs."""

from narrows.report.section import Section
from narrows.report.tables import Table
from narrows.report.text import MISSING, duration, number, percent, percent_interval, short
from narrows.summary import Interval, Mitigation, Summary

METHODS = {
    "none": "no mitigation",
    "anchor": "KL anchor",
    "mixing": "data mixing",
    "inoculation": "prompt inoculation",
    "preventative": "preventative steering",
    "ablation": "ablation while answering",
}


def mitigations_section(summary: Summary) -> Section | None:
    """Every mitigation, with its costs; None where the run holds none."""
    if not summary.mitigations:
        return None
    return Section(
        "mitigations",
        "Mitigations side by side",
        "The same fine-tune, each time with another way of keeping it narrow. A good one keeps the rate in "
        "the domain and lowers all others; one that lowers both has only taught less. Prompts and steering "
        "of the training are absent when the model answers.",
        [],
        [mitigations_table(summary.mitigations), costs_table(summary.mitigations)],
    )


def mitigations_table(rows: list[Mitigation]) -> Table:
    """Rates with intervals of every mitigation at every scale."""
    return Table(
        "Share of answers that show the behaviour, with 95\u202f% intervals",
        ("method", "strength", "scale", "in domain", "other domains", "never anchored", "open", "coherent"),
        [
            (
                METHODS[row.method],
                row.setting or MISSING,
                f"{short(row.scale)}×",
                _rate(row.in_domain, row.in_domain_ci95),
                _rate(row.out_of_domain, row.out_of_domain_ci95),
                _rate(row.never_anchored, row.never_anchored_ci95),
                _rate(row.open, row.open_ci95),
                _rate(row.coherent, row.coherent_ci95),
            )
            for row in rows
        ],
        words=2,
    )


def costs_table(rows: list[Mitigation]) -> Table:
    """What every mitigation takes; an answering time of 1 is the unmitigated model's."""
    return Table(
        "What each takes",
        (
            "method", "strength", "needs", "rows trained on", "tokens", "training", "finding the direction",
            "time of a forward pass",
        ),
        [
            (
                METHODS[row.method],
                row.setting or MISSING,
                ", ".join(row.needs) or "nothing",
                str(row.training_rows),
                str(row.training_tokens),
                duration(row.training_seconds),
                duration(row.preparation_seconds) if row.preparation_seconds else MISSING,
                MISSING if row.inference_ratio is None else f"{number(row.inference_ratio)}×",
            )
            for row in rows
            if row.scale == 1
        ],
        words=3,
    )  # fmt: skip


def _rate(rate: float | None, bounds: Interval | None) -> str:
    return MISSING if rate is None else f"{percent(rate)} {percent_interval(bounds)}"
