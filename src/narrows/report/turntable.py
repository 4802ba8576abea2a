"""What the page's script needs to show a trajectory in three components, as JSON."""

import json
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.markers import MarkerStyle

from narrows.report.style import INK, PALETTE, look
from narrows.report.text import NARROW_SPACE, shortened
from narrows.summary import Trajectory, TrajectoryRun

_MARKER = 10.0
_COLUMNS = ("cos_general", "cos_narrow", "norm", "distance_general", "distance_narrow", "local_cosine")


def turntable(path: Trajectory) -> str:
    """A trajectory's paths, looks and columns as JSON; empty where there are fewer than two components.

    Two components make a flat picture, which turns too. Numbers have five digits: more than a screen shows.
    """
    shares = path.explained_variance_ratio[:3]
    if len(shares) < 2 or not all(run.components for run in path.runs) or not path.runs:
        return ""
    axes = [f"{place} ({100 * share:.0f}{NARROW_SPACE}%)" for place, share in enumerate(shares, start=1)]
    view = {"axes": axes, "runs": [_run(run) for run in path.runs]}
    return json.dumps(view, separators=(",", ":"), allow_nan=False)


@cache
def script() -> Markup:
    """The page's only script."""
    source = files("narrows.report").joinpath("templates/turntable.js").read_text(encoding="utf-8")
    return Markup(source)  # noqa: S704 -- our own file


def _run(run: TrajectoryRun) -> dict[str, Any]:
    """One run; its name goes through the same sieve as all foreign text."""
    style = look(shortened(run.name))
    names = {code: name for name, code in PALETTE.items()}
    colour = "currentColor" if style.colour == INK else f"var(--{names[style.colour]}, {style.colour})"
    return {
        "name": shortened(run.name),
        "colour": colour,
        "dashes": " ".join(f"{2 * part:g}" for part in style.dashes or ()) or "none",
        "marker": _marker(style.marker),
        "hollow": style.marker == "o",
        "steps": run.steps,
        "points": [[_short(value) for value in (*point[:3], 0.0)[:3]] for point in run.components],
        "columns": {
            name: [_short(value) for value in values] for name in _COLUMNS if (values := getattr(run, name))
        },
    }


@cache
def _marker(marker: str) -> str:
    """A marker of the figures as the data of an SVG path around the origin."""
    style = MarkerStyle(marker)
    outline = style.get_path().transformed(style.get_transform())
    rings = [np.asarray(ring, dtype=float) for ring in outline.to_polygons()]
    size = _MARKER / max(float(np.ptp(ring, axis=0).max()) for ring in rings)
    return "".join("M" + "L".join(f"{x * size:.1f},{-y * size:.1f}" for x, y in ring) + "Z" for ring in rings)


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.5g}")
