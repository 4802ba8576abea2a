"""Sweeps from several places are put together as if they had been one."""

import json
from pathlib import Path

import pytest
import yaml

from narrows.errors import DataError
from narrows.microworld.family import load_family
from narrows.study.worlds.gathering import joined
from narrows.study.worlds.results import FamilyResults
from narrows.study.worlds.row import Row
from world_rows import grid, row

BARE = '{"family": "shares", "steps": 2, "rows": [{"world": "a"}]}'
LISTED = '{"family": "shares", "steps": 2, "rows": [{"before": null, "prior": null, "rates": []}]}'
DOCS = Path(__file__).parents[3] / "docs" / "worlds"


def written(folder: Path, rows: list[Row], family: str = "shares", steps: int = 12000) -> Path:
    folder.mkdir()
    values = load_family("shares").model_dump(mode="json")
    (folder / "family.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    file = folder / "worlds.json"
    file.write_text(json.dumps(FamilyResults.of(family, steps, rows).as_json()), encoding="utf-8")
    return file


def in_order(rows: list[Row]) -> list[Row]:
    """As the family ``shares`` tries them: seed by seed."""
    return sorted(rows, key=lambda one: one.seed)


def test_two_halves_make_the_whole(tmp_path: Path):
    rows = in_order(grid(noise=0.05))
    whole = FamilyResults.of("shares", 12000, rows)
    first = written(tmp_path / "first", rows[1::2])
    second = written(tmp_path / "second", rows[::2] + rows[1:4])
    assert joined([first, second]).as_json() == whole.as_json()
    assert joined([written(tmp_path / "whole", rows)]).as_json() == whole.as_json()


def test_snapshots_come_before_the_end(tmp_path: Path):
    rows = [row("shipped", 0.25, 0.02, 0.9, step=step, compared=step is None) for step in (None, 9000, 2000)]
    found = joined([written(tmp_path / "a", rows)])
    assert [one.step for one in found.rows] == [2000, 9000, None]


def test_other_numbers_for_one_run_are_refused(tmp_path: Path):
    first = written(tmp_path / "a", [row("equal", 0.2, 0.2, 0.5)])
    second = written(tmp_path / "b", [row("equal", 0.2, 0.2, 0.6)])
    with pytest.raises(DataError, match=r"b/worlds\.json: equal, seed 11, pets: .*a/worlds\.json"):
        joined([first, second])


def test_another_family_is_refused(tmp_path: Path):
    first = written(tmp_path / "a", [row("equal", 0.2, 0.2, 0.5)])
    other = written(tmp_path / "b", [row("equal", 0.2, 0.2, 0.5)], family="mine")
    with pytest.raises(DataError, match="mine"):
        joined([first, other])
    shorter = written(tmp_path / "c", [row("equal", 0.2, 0.2, 0.5)], steps=60)
    with pytest.raises(DataError, match="c/worlds"):
        joined([first, shorter])
    with pytest.raises(DataError, match=r"unheard-of, seed 11, pets is no run"):
        joined([written(tmp_path / "d", [row("unheard-of", 0.2, 0.2, 0.5)])])


@pytest.mark.parametrize("text", ["{}", BARE, LISTED, "[1]"])
def test_what_is_no_result_is_named(text: str, tmp_path: Path):
    file = written(tmp_path / "a", [])
    file.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"worlds\.json"):
        joined([file])


def near(found: object, expected: object) -> bool:
    """Equal, with what other processors make of the last digits."""
    if isinstance(expected, dict):
        return isinstance(found, dict) and all(
            near(found.get(name), value) for name, value in expected.items()
        )
    if isinstance(expected, list):
        return (
            isinstance(found, list)
            and len(found) == len(expected)
            and all(near(one, other) for one, other in zip(found, expected, strict=True))
        )
    return found == (pytest.approx(expected, rel=1e-5, abs=1e-9) if isinstance(expected, float) else expected)


@pytest.mark.parametrize(("family", "runs"), [("shares", 112), ("requests", 16)])
def test_the_page_says_what_its_rows_say(family: str, runs: int):
    """What docs/worlds.md tells is in worlds.json, and must follow from the runs in the same file."""
    page = DOCS / family / "worlds.json"
    kept = json.loads(page.read_text(encoding="utf-8"))
    assert (kept["family"], len(kept["rows"])) == (family, runs)
    assert near(json.loads(json.dumps(joined([page]).as_json())), kept)
