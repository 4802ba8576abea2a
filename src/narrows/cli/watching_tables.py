"""What ``narrows monitor`` shows: runs, how well they are told apart, and ranked answers."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from narrows.cli.tables import plain_table

if TYPE_CHECKING:
    from rich.table import Table

    from narrows.geometry.monitoring import Look, Monitor, RankedAnswers


def runs_table(title: str, monitor: "Monitor", runs: "Mapping[str, Sequence[Look]]") -> "Table":
    """Each run's largest projections, score and first alarm."""
    from rich.markup import escape

    from narrows.report.text import number

    names = [one.name for one in monitor.directions]
    from narrows.geometry.monitoring.band import later

    scored = monitor.calibration is not None or len(names) == 1
    table = plain_table(title, "run", *map(escape, names), "score", "alarm at step")
    for run, looks in runs.items():
        peaks = [max(look.projections[name] for look in later(looks)) for name in names]
        cells = [
            f"{number(x)} ({100 * monitor.share(n, x):.1f} %)" for n, x in zip(names, peaks, strict=True)
        ]
        score = number(max(map(monitor.score, later(looks)))) if scored else "–"
        alarm = monitor.alarm(looks) if monitor.calibration else None
        table.add_row(escape(run), *cells, score, "–" if alarm is None else str(alarm))
    return table


def detection_table(found: Mapping[str, Any]) -> "Table":
    """How well harmful runs are told from benign ones."""
    table = plain_table("Detection, 95 % intervals over runs", "", "estimate", "95 %", "runs")
    area = found["auroc"]
    table.add_row("AUROC", f"{area['value']:.3f}", _ends(area["ci95"]), str(area["harmful"] + area["benign"]))
    for key, name in {
        "false_positives": "benign runs that alarm",
        "detected": "harmful runs that alarm",
    }.items():
        one = found[key]
        table.add_row(name, f"{one['rate']:.3f}", _ends(one["ci95"]), str(one["n"]))
    return table


def _ends(ends: Sequence[float]) -> str:
    return f"\\[{ends[0]:.3f}, {ends[1]:.3f}]"


def ranked(found: "RankedAnswers", read_by: str) -> dict[str, Any]:
    """Ranked answers in plain values."""
    area = found.auroc
    return {
        "read_by": read_by,
        "auroc": None
        if area is None
        else {
            "value": area.value,
            "ci95": [area.low, area.high],
            "shown": area.positives,
            "not_shown": area.negatives,
            "questions": area.clusters,
        },
        "unscored": found.unscored,
        "answers": [
            {
                "projection": value,
                "solution": one.adapter,
                "scale": one.scale,
                "suite": one.suite,
                "question_id": one.question_id,
                "sample": one.sample,
                "scores": one.scores,
            }
            for one, value in found.answers
        ],
    }


def answers_table(found: "RankedAnswers", top: int) -> "Table":
    """The answers that lie farthest along the direction."""
    from rich.markup import escape

    from narrows.report.text import number

    table = plain_table("Farthest along the direction", "answer", "suite", "projection", words=2)
    for one, value in found.answers[:top]:
        table.add_row(escape(one.text[:80].replace("\n", " ")), escape(one.suite), number(value))
    return table
