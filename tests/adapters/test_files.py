import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from narrows.adapters import SteeringVector
from narrows.errors import AdapterError, RunFolderError


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    vector = SteeringVector(torch.arange(8.0), 2, 16.0, {"recipe": "anchored", "λ": 5})
    return vector.save(tmp_path / "solutions" / "narrow.safetensors")


def test_what_is_saved_is_loaded_bit_for_bit(saved: Path):
    found = SteeringVector.load(str(saved))
    assert torch.equal(found.vector, torch.arange(8.0))
    assert (found.layer, found.alpha, found.metadata) == (2, 16.0, {"recipe": "anchored", "λ": 5})
    assert sorted(path.name for path in saved.parent.iterdir()) == ["narrow.json", "narrow.safetensors"]
    facts = json.loads((saved.parent / "narrow.json").read_text())
    assert (facts["hidden"], facts["layer"], facts["alpha"]) == (8, 2, 16.0)
    assert facts["effective_norm"] == pytest.approx(16 * facts["norm"])


def test_a_trained_vector_saves_its_values_and_not_its_gradient(tmp_path: Path):
    vector = SteeringVector(torch.ones(4, requires_grad=True), 0)
    assert not SteeringVector.load(vector.save(tmp_path / "v.safetensors")).vector.requires_grad


@pytest.mark.parametrize("kept", [0, 4, 60, -4])
def test_a_file_cut_short_is_named_with_the_way_out(saved: Path, kept: int):
    saved.write_bytes(saved.read_bytes()[:kept])
    with pytest.raises(AdapterError, match=r"narrow\.safetensors is cut short or damaged.*save it again"):
        SteeringVector.load(saved)


def test_changed_numbers_are_seen(saved: Path):
    data = bytearray(saved.read_bytes())
    data[-1] ^= 1
    saved.write_bytes(data)
    with pytest.raises(AdapterError, match=r"not the file that narrow\.json was written for"):
        SteeringVector.load(saved)


@pytest.mark.parametrize("name", ["narrow.json", "narrow.safetensors"])
def test_a_missing_file_is_named(saved: Path, name: str):
    (saved.parent / name).unlink()
    with pytest.raises(AdapterError, match=rf"{name} does not exist"):
        SteeringVector.load(saved)


def test_unreadable_json_and_other_formats_are_refused(saved: Path):
    beside = saved.with_suffix(".json")
    text = beside.read_text()
    for broken, problem in [
        (text[:20], "not readable JSON"),
        ("[]", "a list where an object"),
        (text.replace("steering-vector/1", "steering-vector/9"), "steering-vector/9"),
        (text.replace('"layer": 2,', ""), "lacks 'layer'"),
        (text.replace('"hidden": 8', '"hidden": 9'), "says width 9"),
        (text.replace('"layer": 2', '"layer": "two"'), "wrong value"),
    ]:
        beside.write_text(broken)
        with pytest.raises(AdapterError, match=problem):
            SteeringVector.load(saved)
    beside.write_bytes(b"\xff\xfe")
    with pytest.raises(AdapterError, match="not readable JSON"):
        SteeringVector.load(saved)


def test_a_file_without_the_vector_is_refused(saved: Path):
    save_file({"other": load_file(saved)["vector"]}, saved)
    with pytest.raises(AdapterError, match=r"narrow\.safetensors"):
        SteeringVector.load(saved)


def test_a_vector_that_is_not_finite_is_not_saved_and_the_earlier_file_stays(saved: Path):
    before = saved.read_bytes()
    with pytest.raises(AdapterError, match="not finite"):
        SteeringVector(torch.tensor([1.0, float("nan")]), 0).save(saved)
    assert saved.read_bytes() == before


def test_a_name_without_the_ending_is_refused_with_the_right_one(tmp_path: Path):
    with pytest.raises(AdapterError, match=r"save it as .*v1\.5\.safetensors"):
        SteeringVector(torch.ones(2), 0).save(tmp_path / "v1.5")


def test_a_folder_that_cannot_be_written_is_a_run_folder_error(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="cannot be written"):
        SteeringVector(torch.ones(2), 0).save(tmp_path / "file" / "v.safetensors")
