"""What a study took: time, trainings, tokens and memory by kind of stage."""

from collections import Counter
from dataclasses import dataclass

from narrows.report.section import Section
from narrows.report.tables import Table
from narrows.report.text import MISSING, counted, duration, number, percent
from narrows.summary import Cost, Summary

_GIGA = 2**30


@dataclass(frozen=True)
class KindCost:
    """All stages of one kind; ``tokens`` and ``peak_memory`` are of those that measured them."""

    kind: str
    stages: int
    trainings: int
    seconds: float
    longest: float
    tokens: int | None
    peak_memory: int | None


def costs_by_kind(costs: list[Cost]) -> list[KindCost]:
    """Costs by kind of stage in the order in which they first occur, and last of all together."""
    kinds = list(dict.fromkeys(cost.kind for cost in costs))
    found = [_together(kind, [cost for cost in costs if cost.kind == kind]) for kind in kinds]
    return [*found, _together("all stages", costs)] if len(found) > 1 else found


def costs_section(summary: Summary) -> Section | None:
    """The costs of a study; None where they were not kept."""
    if not summary.costs:
        return None
    *_, whole = costs_by_kind(summary.costs)
    devices = Counter(cost.device for cost in summary.costs if cost.device)
    on = f", on {', '.join(devices)}" if devices else ""
    return Section(
        "costs",
        "What it took",
        f"{counted(whole.stages, 'stage')} with {counted(whole.trainings, 'training')}, "
        f"{duration(whole.seconds)} of work{on}. Times are added up over the stages: several that ran at "
        "once took less by the clock. Memory is the highest of any stage: a GPU's own, or on a CPU the "
        "whole process's, in which other stages may have run before.",
        [],
        [costs_table(summary.costs)],
        unfolded=True,
    )


def costs_table(costs: list[Cost]) -> Table:
    """Time, trainings, tokens and memory by kind of stage, with totals."""
    rows = costs_by_kind(costs)
    total = sum(cost.seconds for cost in costs) or 1.0
    return Table(
        "Costs by kind of stage",
        ("stage", "stages", "trainings", "tokens", "time", "share", "longest", "peak memory"),
        [
            (
                row.kind.replace("_", " "),
                str(row.stages),
                str(row.trainings),
                MISSING if row.tokens is None else millions(row.tokens),
                duration(row.seconds),
                percent(row.seconds / total, 0),
                duration(row.longest),
                MISSING if row.peak_memory is None else f"{number(row.peak_memory / _GIGA)} GiB",
            )
            for row in rows
        ],
        file="tables/costs.csv",
        left_out=f"Every stage: {counted(len(costs), 'row')}.",
    )


def millions(tokens: int) -> str:
    """A count of tokens in the unit that fits it."""
    for size, unit in ((10**9, "billion"), (10**6, "million"), (10**3, "thousand")):
        if tokens >= size:
            return f"{number(tokens / size)} {unit}"
    return str(tokens)


def _together(kind: str, costs: list[Cost]) -> KindCost:
    """Several stages as one."""
    tokens = [cost.tokens for cost in costs if cost.tokens is not None]
    memory = [cost.peak_memory for cost in costs if cost.peak_memory is not None]
    return KindCost(
        kind,
        len(costs),
        sum(cost.trainings for cost in costs),
        sum(cost.seconds for cost in costs),
        max(cost.seconds for cost in costs),
        sum(tokens) if tokens else None,
        max(memory) if memory else None,
    )
