import errno
import logging
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from narrows.errors import RunFolderError
from narrows.training import CheckpointFolder


def filled(folder: Path, *steps: int, keep: int | None = None) -> CheckpointFolder:
    checkpoints = CheckpointFolder(folder, keep)
    for step in steps:
        checkpoints.save(step, {"x": torch.full((3,), float(step))}, {"log": [step]})
    return checkpoints


def test_what_is_saved_is_loaded(tmp_path: Path):
    tensors = {"half": torch.rand(2, 3).bfloat16().T, "count": torch.tensor(7.0, requires_grad=True)}
    CheckpointFolder(tmp_path / "new").save(5, tensors, {"log": [{"λ": 0.1}]})
    state = CheckpointFolder(tmp_path / "new").load(5)
    assert (state.step, state.info) == (5, {"log": [{"λ": 0.1}]})
    assert state.tensors.keys() == tensors.keys()
    assert all(torch.equal(state.tensors[name], tensor) for name, tensor in tensors.items())


def test_steps_are_ordered_as_numbers_and_other_files_are_none(tmp_path: Path):
    checkpoints = filled(tmp_path, 1_000_000, 9, 100)
    (tmp_path / "step-000009 (copy).safetensors").write_text("")
    (tmp_path / ".step-000010.safetensors.12.part").write_text("")
    assert checkpoints.steps() == [9, 100, 1_000_000]
    assert checkpoints.newest().step == 1_000_000
    assert CheckpointFolder(tmp_path / "none").steps() == []
    assert CheckpointFolder(tmp_path / "none").newest() is None
    assert CheckpointFolder(tmp_path / "none").history() == []


def test_only_the_newest_are_kept_if_so_wished(tmp_path: Path):
    assert filled(tmp_path, 1, 2, 3, 4, keep=2).steps() == [3, 4]


def test_a_loaded_checkpoint_outlives_its_file(tmp_path: Path):
    checkpoints = filled(tmp_path, 1)
    state = checkpoints.load(1)
    checkpoints.path(1).write_bytes(b"\xff" * checkpoints.path(1).stat().st_size)
    assert torch.equal(state.tensors["x"], torch.ones(3))


@pytest.mark.parametrize("kept", [0, 4, 60, -1])
def test_the_newest_whole_one_wins_and_damaged_ones_are_removed(
    tmp_path: Path, kept: int, caplog: pytest.LogCaptureFixture
):
    checkpoints = filled(tmp_path, 1, 2, 3)
    for step in (2, 3):
        checkpoints.path(step).write_bytes(checkpoints.path(step).read_bytes()[:kept])
    with pytest.raises(SafetensorError):
        checkpoints.load(3)
    with caplog.at_level(logging.WARNING):
        assert checkpoints.newest().step == 1
    assert [step in caplog.text for step in ("step-000003", "step-000002", "step-000001")] == [
        True,
        True,
        False,
    ]
    assert checkpoints.steps() == [1]


def test_the_history_ends_before_the_first_damaged_one(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    checkpoints = filled(tmp_path, 1, 2, 3, 4)
    assert [state.info["log"] for state in checkpoints.history()] == [[1], [2], [3], [4]]
    checkpoints.path(2).write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        assert [state.step for state in checkpoints.history()] == [1]
    assert "step-000002" in caplog.text and "steps 3, 4" in caplog.text
    assert checkpoints.steps() == [1]


def test_what_cannot_be_read_is_an_error_and_is_not_removed(tmp_path: Path):
    checkpoints = filled(tmp_path, 1)
    checkpoints.path(2).mkdir()
    for read in (checkpoints.newest, checkpoints.history):
        with pytest.raises(RunFolderError, match=r"step-000002.*cannot be read"):
            read()
    assert checkpoints.steps() == [1, 2]


def test_a_file_that_another_process_drops_in_this_moment_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    checkpoints = filled(tmp_path, 1)
    monkeypatch.setattr(checkpoints, "steps", lambda: [1, 2])
    assert checkpoints.newest().step == 1


def test_a_full_disk_keeps_the_earlier_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    checkpoints = filled(tmp_path, 1, 2, keep=2)

    def full(path: Path, data: bytes) -> None:
        path.open("wb").write(data[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(RunFolderError, match=r"step-000003\.safetensors: the disk is full"):
        checkpoints.save(3, {"x": torch.ones(3)})
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "step-000001.safetensors",
        "step-000002.safetensors",
    ]
    assert checkpoints.newest().step == 2
