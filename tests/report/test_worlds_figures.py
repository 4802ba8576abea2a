"""Figures of families of worlds, from made-up rows."""

import re
import xml.etree.ElementTree as ET

import pytest

from narrows.report.svg import to_svg
from narrows.report.worlds import figures
from narrows.report.worlds.along import along_figure, along_metrics_figure
from narrows.report.worlds.page import FIGURES
from narrows.study.worlds.results import FamilyResults
from world_rows import before, grid, row

ALONG = [
    row(
        "shipped", 0.25, 0.02, 0.1 * place, step=step, compared=step is None, before=before(trait=0.2 * place)
    )
    for place, step in enumerate((1000, 2000, 4000, None))
]


@pytest.fixture(scope="module")
def results() -> dict:
    return FamilyResults.of("shares", 6000, [*grid(noise=0.05), *ALONG]).as_json()


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("compact", [False, True])
def test_every_figure_can_be_drawn(results: dict, name: str, compact: bool):
    figure = FIGURES[name][1](results, compact=compact)
    svg = to_svg(figure, name, "title", standalone=True)
    ET.fromstring(svg)
    assert not re.search(r"\bnan\b", svg)


def test_the_map_says_what_the_rows_do(results: dict):
    panels = figures.shares_figure(results).axes
    said = [text.get_text() for text in panels[0].texts]
    assert len([one for one in said if one]) == 15
    strongest = max(row["preference"]["value"] for row in results["rows"] if row["world"] == "e30-n0")
    assert any(one.startswith(f"{100 * strongest:.0f}"[:2]) for one in said)


def test_each_run_is_a_point(results: dict):
    (axes,) = figures.ratio_figure(results).axes
    points = [line for line in axes.lines if line.get_marker() in figures._MARKERS]
    assert len(points) == 61
    along = along_figure(results).axes[0]
    trait = next(
        line for line in along.lines if line.get_label() == "model: harmful after three harmful answers"
    )
    assert list(trait.get_xdata()) == [1000, 2000, 4000, 6000]
    assert [round(y, 6) for y in trait.get_ydata()] == [0.0, 0.2, 0.4, 0.6]


def test_what_is_not_there_is_not_drawn():
    few = FamilyResults.of("mine", 10, [row("a", 0.1, 0.2, 0.3, before=None)]).as_json()
    assert figures.shares_figure(few) is None
    assert along_figure(few) is None
    assert along_metrics_figure(few) is None
    assert figures.ratio_figure(few) is not None
    assert few["predictions"] == []
