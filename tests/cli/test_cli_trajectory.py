"""``narrows trajectory`` on runs that somebody else published, and on LoRAs."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from cli_helpers import Run, invoke

from narrows.adapters import LoRA, SteeringVector
from narrows.geometry import reading


@pytest.fixture
def bent(tmp_path: Path) -> Path:
    """A published run that goes straight on, then turns at step 20."""
    folder = tmp_path / "bent"
    folder.mkdir()
    places = {10: (1, 0), 15: (2, 0), 20: (3, 0), 25: (3, 1), 30: (3, 2)}
    for step, place in places.items():
        torch.save(
            torch.tensor([*place, 0, 0], dtype=torch.float32)[:, None],
            folder / f"steering_vector_checkpoint_{step}.pt",
        )
    (folder / "metadata.json").write_text(json.dumps({"layer_idx": 2, "d_model": 4, "alpha": 2.0}))
    return folder


@pytest.fixture
def ends(tmp_path: Path) -> tuple[object, ...]:
    general, narrow = torch.tensor([3.0, 2, 0, 0]), torch.tensor([3.0, 0, 0, 0])
    return (
        "--general", SteeringVector(general, 2, 2.0).save(tmp_path / "general.safetensors"),
        "--narrow", SteeringVector(narrow, 2, 2.0).save(tmp_path / "narrow.safetensors"),
    )  # fmt: skip


def test_distances_and_turns_are_given(run: Run, run_json: Any, bent: Path, ends: tuple[object, ...]) -> None:
    found = run_json("trajectory", bent, *ends)
    [one] = found["runs"]
    alpha = one["norm"][0]  # the first vector has length 1
    assert found["of"] == "αv"
    assert one["distance_narrow"][2] == pytest.approx(abs(alpha - 2.0) * 3, abs=1e-5)
    assert one["local_cosine"] == [None, pytest.approx(1), pytest.approx(0, abs=1e-6), pytest.approx(1), None]
    wide = run_json("trajectory", bent, *ends, "--window", 2)
    assert wide["window"] == 2
    assert wide["runs"][0]["local_cosine"] == [None, None, pytest.approx(0, abs=1e-6), None, None]
    said = run("trajectory", bent, *ends).stdout
    assert "bent turns most at step 20 (local cosine 0.00)." in said
    assert "components of αv (standardised)" in said


def test_a_loras_components_are_of_what_it_writes_unless_all_is_asked_for(
    run_json: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = {
        step: LoRA({"1.x": (torch.ones(1, 3), torch.full((4, 1), float(step)) + torch.eye(4)[:, :1])})
        for step in (0, 5, 10)
    }
    end = steps[10].save(tmp_path / "end.safetensors")
    monkeypatch.setattr(reading, "_read", lambda _: steps)
    command = ("trajectory", tmp_path, "--general", end, "--narrow", end, "--no-standardise")
    assert run_json(*command)["of"] == "sB"
    assert run_json(*command, "--of", "all")["of"] == "A and B"
    assert run_json(*command)["runs"][0]["distance_general"][-1] == pytest.approx(0, abs=1e-6)


def test_a_window_of_nothing_is_refused(bent: Path, ends: tuple[object, ...]) -> None:
    assert invoke("trajectory", bent, *ends, "--window", 0).exit_code == 2
