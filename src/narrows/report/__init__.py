"""The report of a run: figures and one self-contained page.

- ``page`` writes ``report.html`` from ``summary.json`` and the optional ``report.json`` (``reading``)
- ``figures`` makes each figure from a summary with the pieces in ``drawing``; ``svg`` writes them
- ``sections`` and ``direction_sections``, ``claims``, ``tables`` and ``direction_tables`` say what it holds
- ``turntable`` is what the page's script shows of a trajectory in three components
- ``series`` selects and groups the summary's rows; ``style`` and ``text`` give the look
"""

from narrows.report.figures import (
    efficiency,
    gradients,
    interventions,
    rates,
    readme_figure,
    scales,
    significance,
    stability,
    subspaces,
    trajectory,
)
from narrows.report.page import write_report
from narrows.report.reading import Reading
from narrows.report.svg import to_svg

__all__ = [
    "Reading",
    "efficiency",
    "gradients",
    "interventions",
    "rates",
    "readme_figure",
    "scales",
    "significance",
    "stability",
    "subspaces",
    "to_svg",
    "trajectory",
    "write_report",
]
