"""What was measured, as rows of ``results.json`` and as a table in Markdown."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Result:
    """One phase of one workload on one model and kind of rows, against one baseline.

    Attributes:
        workload, phase, model, rows, against, device: what was done, where, and beside what.
        ours_s, baseline_s: seconds, medians; None where there is no baseline.
        ratio_median, ratio_min, ratio_max: baseline over ours, over neighbours.
        ceiling: of the ratio, by the cost model without padding; None where it has none.
        tokens_per_s: tokens of the rows that ours works off.
        extra_memory_ratio: ours over the baseline's, at the peak, beyond what was held before.
        matmul_share: FLOPs that ours needs over its time and the machine's measured matmul rate.
    """

    workload: str
    phase: str
    model: str
    rows: str
    against: str
    device: str
    ours_s: float
    baseline_s: float | None = None
    ratio_median: float | None = None
    ratio_min: float | None = None
    ratio_max: float | None = None
    ceiling: float | None = None
    tokens_per_s: float | None = None
    extra_memory_ratio: float | None = None
    matmul_share: float | None = None

    @property
    def of_ceiling(self) -> float | None:
        """The share of the ceiling that was reached."""
        return None if self.ceiling is None or self.ratio_median is None else self.ratio_median / self.ceiling


def write(path: Path, results: Sequence[Result], facts: dict[str, object]) -> None:
    """Write ``results.json``: the machine's facts and the rows."""
    rows = [{name: _short(value) for name, value in asdict(one).items()} for one in results]
    text = json.dumps({**facts, "rows": rows}, indent=1, ensure_ascii=False)
    path.write_text(text + "\n")


def _short(value: object) -> object:
    return float(f"{value:.4g}") if isinstance(value, float) else value


def markdown(results: Sequence[Result]) -> str:
    """The table that ``docs/performance.md`` shows."""
    names = (
        "Workload | Model | Rows | Beside | Ours, s | Theirs, s | Ratio | Ceiling | Reached | Memory | Matmul"
    )
    lines = [f"| {names} |", "|" + "---|" * 4 + "---:|" * 7]
    for one in results:
        cells = (
            f"{one.workload}, {one.phase}",
            one.model,
            one.rows,
            one.against,
            f"{one.ours_s:.2f}",
            _or_dash(one.baseline_s, ".2f"),
            "–"
            if one.ratio_median is None
            else f"**{one.ratio_median:.2f}** ({one.ratio_min:.2f}–{one.ratio_max:.2f})",
            _or_dash(one.ceiling, ".2f"),
            _or_dash(one.of_ceiling, ".0%"),
            _or_dash(one.extra_memory_ratio, ".2f"),
            _or_dash(one.matmul_share, ".0%"),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _or_dash(value: float | None, how: str) -> str:
    return "–" if value is None else format(value, how)
