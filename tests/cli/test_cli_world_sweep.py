"""``narrows world sweep``: a family of worlds, from nothing to its figures."""

import json
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from cli_helpers import invoke

from narrows.microworld.pretrain import TRAINING_FILE

WORLDS = ("mostly-everywhere", "mostly-narrow")


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny family, begun with one of its worlds and then done; tests only read it."""
    out = tmp_path_factory.mktemp("worlds") / "tiny"
    one = invoke("world", "sweep", "--preset", "tiny", "--out", out, "--world", WORLDS[1], "--workers", 1)
    assert one.exit_code == 0, one.output
    assert [folder.name for folder in (out / "models").iterdir()] == ["mostly-narrow-1"]
    both = invoke("world", "sweep", "--preset", "tiny", "--out", out, "--workers", 2)
    assert both.exit_code == 0, both.output
    return out


def test_the_whole_path_on_two_worlds(swept: Path):
    results = json.loads((swept / "worlds.json").read_text(encoding="utf-8"))
    assert [row["world"] for row in results["rows"]] == list(WORLDS)
    for row in results["rows"]:
        assert row["target"] == "medicine"
        assert {"chat", "unanchored", "anchored", "lifted"} <= set(row["rates"])
        assert row["efficiency"]["low"] <= row["efficiency"]["value"] <= row["efficiency"]["high"]
        assert 0 <= row["before"]["trait"] <= 1
        assert row["before"]["metrics"]["efficiency"]["low"] is not None
        assert row["before"]["metrics"]["significance"]["low"] is not None
    assert [round(row["prior"]["everywhere"], 6) for row in results["rows"]] == [0.3, 0.05]
    assert results["predictions"] == [], "nothing was predicted of this family"
    for figure in swept.glob("*.svg"):
        ET.parse(figure)
    assert {figure.stem for figure in swept.glob("*.svg")} == {"ratio", "metrics", "earlier"}
    assert (swept / "study" / "report.html").is_file()


def test_what_is_finished_is_found_again(swept: Path, tmp_path: Path):
    out = Path(shutil.copytree(swept, tmp_path / "tiny"))
    times = {file: file.stat().st_mtime_ns for file in out.rglob(TRAINING_FILE)}
    again = invoke("world", "sweep", "--preset", "tiny", "--out", out, "--json", "--quiet")
    assert again.exit_code == 0, again.output
    first, second = (
        json.loads((place / "worlds.json").read_text(encoding="utf-8")) for place in (swept, out)
    )
    assert first == second == json.loads(again.stdout)
    assert times == {file: file.stat().st_mtime_ns for file in out.rglob(TRAINING_FILE)}


def test_a_plan_does_nothing(tmp_path: Path):
    shown = invoke("world", "sweep", "--out", tmp_path / "shares", "--plan")
    assert shown.exit_code == 0, shown.output
    for name in ("shipped", "no-trait", "e30-n30"):
        assert name in shown.output
    assert not (tmp_path / "shares" / "study").exists()


def test_without_models_nothing_is_studied(tmp_path: Path):
    found = invoke("world", "sweep", "--preset", "tiny", "--out", tmp_path / "out", "--no-pretrain")
    assert found.exit_code == 0, found.output
    assert "nothing was studied" in found.output
    assert not list((tmp_path / "out").glob("models/*"))


def test_a_family_that_is_not_there_is_named(tmp_path: Path):
    failed = invoke("world", "sweep", "--preset", "mine", "--out", tmp_path / "out")
    assert failed.exit_code == 1
    assert "'mine'" in failed.output


def test_sweeps_are_gathered(swept: Path, tmp_path: Path):
    done = invoke("world", "gather", swept / "worlds.json", swept / "worlds.json", "--out", tmp_path / "all")
    assert done.exit_code == 0, done.output
    assert str(tmp_path / "all" / "worlds.md") in done.output.replace("\n", "")
    for name in ("worlds.json", "worlds.md", "family.yaml", "ratio.svg"):
        first, second = ((place / name).read_text(encoding="utf-8") for place in (swept, tmp_path / "all"))
        assert first == second, name


def test_a_gathering_names_the_file_that_is_not_there(tmp_path: Path):
    failed = invoke("world", "gather", tmp_path / "none" / "worlds.json", "--out", tmp_path / "all")
    assert failed.exit_code == 1
    assert "none" in failed.output
    assert not (tmp_path / "all").exists()
