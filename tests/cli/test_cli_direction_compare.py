"""``narrows direction compare``, ``angles`` and ``effects``."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner, Result

from narrows.adapters import Direction, LoRA, SteeringVector
from narrows.cli.direction import app
from narrows.errors import AdapterError, ConfigError


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def run_json(*arguments: object) -> Any:
    result = invoke(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def stored(tmp_path: Path) -> Callable[..., Path]:
    """Writes a vector along some axes of the tiny model."""

    def write(name: str, *places: int, layer: int = 1) -> Path:
        vector = torch.zeros(32)
        vector[list(places)] = 3.0
        return Direction.of(vector, layer, name).save(tmp_path / f"{name}.safetensors")

    return write


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.txt"
    path.write_text("the sea is blue .\n\neat bread and drink water every day .\n\nwhat is the sky ?\n")
    return path


def test_compare_gives_cosines_limits_groups_and_projections(stored) -> None:
    files = (stored("a", 0), f"g/two={stored('b', 0, 1)}", f"g/three={stored('c', 2, layer=2)}")
    found = run_json("compare", *files, "--group-by", "name")
    assert [one["name"] for one in found["directions"]] == ["a", "g/two", "g/three"]
    assert [one["layer"] for one in found["directions"]] == [1, 1, 2]
    assert found["cosines"][0] == pytest.approx([1.0, 0.5**0.5, 0.0])
    assert found["covariance_limits95"] is None
    assert 0.3 < found["random_limit95"] < found["random_limit95_all_pairs"] < 0.5
    assert [(one["first"], one["second"]) for one in found["groups"]] == [("a", "g"), ("g", "g")]
    assert len(found["projections"]) == 6
    first = found["projections"][0]
    assert (first["name"], first["onto"]) == ("a", "g/two")
    assert first["length"] == pytest.approx(3 * 0.5**0.5)


def test_compare_tells_a_person_what_is_within_chance(stored) -> None:
    said = invoke("compare", stored("a", 0), stored("b", 0, 1), stored("c", 2)).stdout
    assert "(0.000)" in said
    assert "0.707" in said
    assert "within chance" in said
    two = invoke("compare", stored("a", 0), stored("b", 0, 1)).stdout
    assert "a along b: +2.12, +71 % of its norm; 2.12 is orthogonal to it." in two


def test_compare_with_a_model_adds_its_covariances_limits(stored, tiny_model_dir, texts) -> None:
    files = (stored("a", 0), stored("b", 0, 1, layer=2))
    found = run_json("compare", *files, "--model", tiny_model_dir, "--text", texts, "--group-by", "layer")
    limits = found["covariance_limits95"]
    assert limits[0][1] == limits[1][0] > found["random_limit95"] / 2
    assert [one["first"] for one in found["groups"]] == ["layer 1"]
    said = invoke("compare", *files, "--model", tiny_model_dir, "--text", texts).stdout
    assert f"±{limits[0][1]:.2f}" in said


def test_directions_of_one_name_are_told_apart_by_their_files(stored, tmp_path) -> None:
    first = stored("a", 0)
    second = Direction.load(first).save(tmp_path / "second.safetensors")
    names = [one["name"] for one in run_json("compare", first, second)["directions"]]
    assert names == [f"a ({first})", f"a ({second})"]


def test_angles_between_two_sets(stored) -> None:
    sets = (
        "--of",
        stored("a", 0),
        "--of",
        stored("b", 1),
        "--with",
        stored("c", 1),
        "--with",
        stored("d", 5),
    )
    found = run_json("angles", *sets, "--draws", 50)
    assert found["dimensions"] == [2, 2]
    assert found["angles"] == pytest.approx([0.0, 1.5707963], abs=1e-6)
    assert found["overlap"] == pytest.approx(0.5)
    assert len(found["random_ci95"]) == 2
    assert "90.0°" in invoke("angles", *sets, "--draws", 50).stdout


def test_angles_with_a_models_covariance(stored, tiny_model_dir, texts) -> None:
    sets = ("--of", stored("a", 0), "--with", stored("c", 1))
    found = run_json("angles", *sets, "--draws", 50, "--model", tiny_model_dir, "--texts", texts)
    assert found["random"] == "covariance"


def test_effects_between_models(tiny_model_dir, tmp_path, texts) -> None:
    for name, seed in (("one", 1), ("two", 2)):
        drawn = torch.randn(32, generator=torch.Generator().manual_seed(seed))
        SteeringVector(drawn, 1, 1.0).save(tmp_path / f"{name}.safetensors")
    places = [f"{tiny_model_dir}={tmp_path / name}.safetensors" for name in ("one", "two")]
    found = run_json("effects", *places, "--texts", texts, "--random", 3, "--norm", 2)
    assert [one["norm"] for one in found["effects"]] == pytest.approx([2.0, 2.0])
    [pair] = found["pairs"]
    assert (pair["first"], pair["second"]) == tuple(places)
    assert pair["random"][0] < pair["random"][1]
    assert "Cosines of effects" in invoke("effects", *places, "--texts", texts, "--random", 0).stdout


def test_chats_are_a_probe_too(tiny_model_dir, tmp_path, stored) -> None:
    rows = tmp_path / "rows.jsonl"
    turns = [{"role": "user", "content": "what is the sea ?"}, {"role": "assistant", "content": "salt ."}]
    rows.write_text(json.dumps({"messages": turns}) + "\n")
    places = [f"{tiny_model_dir}={stored(name, place)}" for place, name in enumerate("ab")]
    assert run_json("effects", *places, "--texts", rows, "--random", 0)["pairs"][0]["random"] is None


def test_what_cannot_be_compared_is_refused(stored, tmp_path) -> None:
    one = stored("a", 0)
    assert isinstance(invoke("compare", one).exception, ConfigError)
    lora = LoRA({"1.x": (torch.ones(1, 4), torch.ones(4, 1))}).save(tmp_path / "lora.safetensors")
    assert isinstance(invoke("compare", one, lora).exception, AdapterError)
    result = invoke("effects", one, one)
    assert isinstance(result.exception, ConfigError)
    assert "give MODEL=FILE" in str(result.exception)


@pytest.mark.parametrize("command", ["compare", "angles", "effects"])
def test_each_command_has_a_purpose_an_example_and_json(command: str) -> None:
    said = " ".join(invoke(command, "--help").stdout.split())
    assert f"narrows direction {command} " in said
    assert "--json" in said
