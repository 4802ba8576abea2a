"""The page of a family of worlds: every run, as its row has it."""

from dataclasses import replace

from narrows.report.worlds.page import TOO_FEW, worlds_page
from narrows.study.worlds.results import FamilyResults
from narrows.study.worlds.row import Measured
from world_rows import grid, row


def line_of(page: str, *cells: str) -> list[str]:
    """The cells of the one table row that begins with some."""
    (line,) = [one for one in page.splitlines() if one.startswith(f"| {' | '.join(cells)} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_every_run_is_on_the_page():
    rows = grid()
    page = worlds_page(FamilyResults.of("shares", 12000, rows).as_json(), {"ratio.svg": "Over the ratio"})
    assert "![Over the ratio](ratio.svg)" in page
    assert "60 runs on 30 models and snapshots in 15 worlds" in page
    for one in rows:
        found, before = (
            line_of(part, one.world, str(one.seed), one.target) for part in page.split("## Every run")[1:]
        )
        assert one.preference is not None
        assert one.prior is not None
        assert found[3:5] == [f"{100 * one.prior.everywhere:.3g} %", f"{100 * one.prior.in_target:.3g} %"]
        assert found[9].startswith(f"{one.preference.value:.2f} [")
        assert before[3:5] == ["95\u202f%", "90\u202f%"]
    assert "\n| **1** | **Preference rises" in page


def test_what_was_not_measured_is_a_dash():
    rows = [
        replace(row("no-trait", None, None, 0.5, way_back=None, stability=None), preference=None),
        row("no-trait", None, None, 0.5, step=2000, compared=False, before=None, efficiency=Measured(-0.25)),
    ]
    page = worlds_page(FamilyResults.of("mine", 12000, rows).as_json(), {})
    assert "predicted" not in page
    assert TOO_FEW in page
    assert "left-out gain" not in page
    first = line_of(page.split("## Every run")[1], "no-trait", "11", "pets")
    assert first[3:5] == ["–", "–"]
    assert first[9:11] == ["–", "–"]
    assert first[12] == "–"
    snapshot = line_of(page.split("## Snapshots")[1], "no-trait", "11", "pets")
    assert snapshot[3] == "2,000"
    assert "−0.250" in snapshot
    assert snapshot[-2:] == ["–", "–"]
    assert len(page.split("## Every run: before")[1].split("## Snapshots")[0].splitlines()) == 8


def test_bars_in_a_clause_do_not_end_its_cell():
    page = worlds_page(FamilyResults.of("shares", 12000, grid()).as_json(), {})
    (clause,) = [one for one in page.splitlines() if "Spearman\\| minus" in one]
    assert clause.replace("\\|", "").count("|") == 5
