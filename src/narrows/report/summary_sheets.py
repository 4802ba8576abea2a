"""All rows of summary.json as files: one for each kind of row, with every digit and every column's unit."""

from typing import Any

from pydantic import BaseModel

from narrows.report.sheet import Raw, Sheet
from narrows.summary import Summary

_FRACTION, _NATS, _SECONDS = "fraction", "nats per token", "seconds"
_UNITS = {
    "misaligned": _FRACTION,
    "coherent": _FRACTION,
    "coherent_before": _FRACTION,
    "in_domain": _FRACTION,
    "out_of_domain": _FRACTION,
    "never_anchored": _FRACTION,
    "open": _FRACTION,
    "before": _FRACTION,
    "after": _FRACTION,
    "bad_fraction": _FRACTION,
    "relative_increase": "fraction of the way to the chat model",
    "text_loss": "share of the loss before",
    "loss": _NATS,
    "kl": _NATS,
    "kl_weight": "λ per token-nat",
    "effective_norm": "‖αv‖ or ‖sBA‖",
    "epsilon": "noise ratio",
    "cos_general": "cosine",
    "cos_narrow": "cosine",
    "seconds": _SECONDS,
    "training_seconds": _SECONDS,
    "preparation_seconds": _SECONDS,
    "peak_memory": "bytes",
    "inference_ratio": "multiple of the unmitigated time",
    "scale": "multiple of the trained norm",
}
_OF_TABLE = {
    ("solutions", "norm"): "‖v‖ or ‖BA‖",
    ("efficiency", "norm"): "‖αv‖ or ‖sBA‖",
    ("significance", "norm"): "‖αv‖ or ‖sBA‖",
    ("subspaces", "norm"): "‖αv‖",
}
_ELSEWHERE = ("trajectories", "pooled", "timings")
"""What has columns of its own."""


def summary_sheets(summary: Summary) -> list[Sheet]:
    """Every table of the summary that has rows, under its name in ``summary.json``."""
    sheets = []
    for name in Summary.model_fields:
        rows = getattr(summary, name)
        if isinstance(rows, list) and rows and name not in _ELSEWHERE:
            sheets.append(_sheet(name, rows))
    return [*sheets, *_trajectories(summary), *_pooled(summary), *_timings(summary)]


def _sheet(name: str, rows: list[BaseModel]) -> Sheet:
    """Rows of one kind; an interval becomes two columns, a list one cell of words."""
    headers: list[str] = []
    fields = list(type(rows[0]).model_fields)
    for field in fields:
        if field.endswith("ci95"):
            of = field.removesuffix("_ci95")
            unit = _unit(name, of) if of != field else "unit of the row"
            headers += [_header(f"{field}_low", unit), _header(f"{field}_high", unit)]
        else:
            unit = "unit of the row" if field in ("estimate", "margin") else _unit(name, field)
            headers.append(_header(field, unit))
    return Sheet(name, tuple(headers), [_flat(row, fields) for row in rows])


def _flat(row: BaseModel, fields: list[str]) -> tuple[Raw, ...]:
    """One row's cells."""
    cells: list[Raw] = []
    for field in fields:
        value: Any = getattr(row, field)
        if field.endswith("ci95"):
            cells += list(value) if value is not None else [None, None]
        elif isinstance(value, list):
            cells.append(", ".join(map(str, value)))
        else:
            cells.append(value)
    return tuple(cells)


def _trajectories(summary: Summary) -> list[Sheet]:
    """One row a checkpoint."""
    if not summary.trajectories:
        return []
    width = max(len(path.explained_variance_ratio) for path in summary.trajectories)
    later = ("distance_general", "distance_narrow", "local_cosine")
    rows: list[tuple[Raw, ...]] = []
    for number, path in enumerate(summary.trajectories, start=1):
        for run in path.runs:
            for place, step in enumerate(run.steps):
                point = run.components[place]
                rest = [(getattr(run, name) or [None] * len(run.steps))[place] for name in later]
                known = (run.cos_general[place], run.cos_narrow[place], run.norm[place])
                padding = [None] * (width - len(point))
                rows.append((number, run.name, step, *known, *rest, *point, *padding))
    headers = (
        "trajectory",
        "run",
        "step",
        "cos_general (cosine)",
        "cos_narrow (cosine)",
        "norm (‖αv‖ or ‖sB‖)",
        "distance_general (norm)",
        "distance_narrow (norm)",
        "local_cosine (cosine)",
        *(f"component {place + 1} (norm, or standard deviations)" for place in range(width)),
    )
    return [Sheet("trajectories", headers, rows)]


def _pooled(summary: Summary) -> list[Sheet]:
    """One row for each comparison behind a claim, over runs."""
    rows: list[tuple[Raw, ...]] = [
        (
            claim.id, claim.kind, claim.adapter, claim.verdict, part.name, part.counts, part.verdict,
            part.estimate, *part.ci95, part.margin, part.rule, part.unit, part.runs,
            *(part.tally.get(verdict, 0) for verdict in ("supported", "inconclusive", "not-supported")),
        )
        for claim in summary.pooled
        for part in claim.parts
    ]  # fmt: skip
    headers = (
        "claim", "kind", "adapter", "verdict on the claim", "comparison", "decides", "verdict",
        "estimate (unit of the row)", "ci95_low (unit of the row)", "ci95_high (unit of the row)",
        "margin (unit of the row)", "rule", "unit", "runs", "runs supported", "runs inconclusive",
        "runs not supported",
    )  # fmt: skip
    return [Sheet("pooled-claims", headers, rows)] if rows else []


def _timings(summary: Summary) -> list[Sheet]:
    """One row a stage."""
    rows: list[tuple[Raw, ...]] = list(summary.timings.items())
    return [Sheet("timings", ("stage", "time (seconds)"), rows)] if rows else []


def _unit(table: str, field: str) -> str:
    return _OF_TABLE.get((table, field), _UNITS.get(field, ""))


def _header(name: str, unit: str) -> str:
    return f"{name} ({unit})" if unit else name
