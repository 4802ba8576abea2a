"""The report of a run: figures and one self-contained page.

- ``page`` writes ``report.html`` from ``summary.json`` and the optional ``report.json`` (``reading``)
- ``figures`` makes each figure from a summary with the pieces in ``drawing``; ``svg`` writes them
- ``sections``, ``claims`` and ``tables`` say what stands on the page
- ``series`` selects and groups the summary's rows; ``style`` and ``text`` give the look
"""

from narrows.report.figures import (
    efficiency,
    rates,
    readme_figure,
    scales,
    significance,
    stability,
    trajectory,
)
from narrows.report.page import write_report
from narrows.report.reading import Reading
from narrows.report.svg import to_svg

__all__ = [
    "Reading",
    "efficiency",
    "rates",
    "readme_figure",
    "scales",
    "significance",
    "stability",
    "to_svg",
    "trajectory",
    "write_report",
]
