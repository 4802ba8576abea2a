"""However a run is stopped, started again it ends with the bits of one that never was."""

import errno
import logging
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from training_helpers import ANCHOR, RECIPE, ROWS, assert_same_run, changed, vector

from narrows import files
from narrows.adapters import SteeringVector
from narrows.errors import RunFolderError, TrainingError
from narrows.models import ChatModel, load_chat_model
from narrows.training import CheckpointFolder, Recipe, TrainingRun, train
from narrows.training import window as window_module
from narrows.training.window import Window


def run_it(chat_model: ChatModel, out: Path | None = None, recipe: Recipe = RECIPE) -> TrainingRun:
    return train(chat_model, ROWS, recipe, anchor=ANCHOR, out=out)


def folder_bytes(out: Path) -> dict[str, bytes]:
    """Every file of a run by its name, the hidden leftovers of a kill apart."""
    names = [path for path in out.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {str(path.relative_to(out)): path.read_bytes() for path in names}


@pytest.fixture(scope="module")
def whole(chat_model: ChatModel) -> TrainingRun:
    """The run that was never stopped."""
    return run_it(chat_model)


@pytest.fixture(scope="module")
def kept(chat_model: ChatModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its folder."""
    return run_it(chat_model, tmp_path_factory.mktemp("whole") / "run").folder


@pytest.fixture
def finished(kept: Path, tmp_path: Path) -> Path:
    """A copy of its folder, to be harmed."""
    return shutil.copytree(kept, tmp_path / "run")


@pytest.fixture
def steps_taken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The steps whose gradient was computed, as they come."""
    backward, taken = Window.backward, []

    def counted(self: Window, adapter: SteeringVector, step: int) -> object:
        taken.append(step)
        return backward(self, adapter, step)

    monkeypatch.setattr(Window, "backward", counted)
    return taken


def stop_at(step: int, error: BaseException, patched: pytest.MonkeyPatch) -> None:
    """Raise ``error`` in the middle of a step, counted from 0."""
    backward = Window.backward

    def stopping(self: Window, adapter: SteeringVector, number: int) -> object:
        result = backward(self, adapter, number)
        if number == step:
            raise error
        return result

    patched.setattr(Window, "backward", stopping)


@pytest.mark.parametrize("step", [1, 3, 11])
def test_resumed_is_uninterrupted_bit_for_bit(
    chat_model: ChatModel, tmp_path: Path, step: int, whole: TrainingRun, kept: Path
):
    with pytest.MonkeyPatch.context() as patched, pytest.raises(RuntimeError, match="stop"):
        stop_at(step, RuntimeError("stop"), patched)
        run_it(chat_model, tmp_path)
    assert_same_run(run_it(chat_model, tmp_path), whole)
    assert folder_bytes(tmp_path) == folder_bytes(kept)


def test_a_run_whose_anchor_is_lifted_is_resumed_after_the_lift(chat_model: ChatModel, tmp_path: Path):
    recipe = RECIPE.with_anchor(2.0, until_step=7)
    with pytest.MonkeyPatch.context() as patched, pytest.raises(RuntimeError, match="stop"):
        stop_at(8, RuntimeError("stop"), patched)
        run_it(chat_model, tmp_path, recipe)
    assert_same_run(run_it(chat_model, tmp_path, recipe), run_it(chat_model, recipe=recipe))


def test_a_run_stopped_again_and_again_ends_the_same(
    chat_model: ChatModel, tmp_path: Path, whole: TrainingRun
):
    for step in (3, 4, 7, 7, 10):
        with pytest.MonkeyPatch.context() as patched, pytest.raises(RuntimeError, match="stop"):
            stop_at(step, RuntimeError("stop"), patched)
            run_it(chat_model, tmp_path)
    assert_same_run(run_it(chat_model, tmp_path), whole)


def test_a_run_from_a_vector_is_resumed_from_its_checkpoint(chat_model: ChatModel, tmp_path: Path):
    wanted = train(chat_model, ROWS, RECIPE, anchor=ANCHOR, start=vector())
    with pytest.MonkeyPatch.context() as patched, pytest.raises(RuntimeError, match="stop"):
        stop_at(5, RuntimeError("stop"), patched)
        train(chat_model, ROWS, RECIPE, anchor=ANCHOR, start=vector(), out=tmp_path)
    assert_same_run(train(chat_model, ROWS, RECIPE, anchor=ANCHOR, start=vector(), out=tmp_path), wanted)


def test_ctrl_c_loses_only_the_steps_since_the_last_checkpoint(
    chat_model: ChatModel, tmp_path: Path, whole: TrainingRun, steps_taken: list[int]
):
    with pytest.MonkeyPatch.context() as patched, pytest.raises(KeyboardInterrupt):
        stop_at(7, KeyboardInterrupt(), patched)
        run_it(chat_model, tmp_path)
    steps_taken.clear()
    assert_same_run(run_it(chat_model, tmp_path), whole)
    assert steps_taken == list(range(6, 12))


CHILD = """
import sys
import torch
from narrows.models import load_chat_model
from narrows.training import train
from training_helpers import ANCHOR, ROWS, changed

torch.set_num_threads(int(sys.argv[3]))
recipe = changed(steps=int(sys.argv[4]), checkpoint_every=1)
train(load_chat_model(sys.argv[1], device="cpu"), ROWS, recipe, anchor=ANCHOR, out=sys.argv[2])
"""


def test_a_run_killed_at_a_random_moment_is_resumed_bit_for_bit(tiny_model_dir: Path, tmp_path: Path):
    steps, out = 40, tmp_path / "killed"
    moment = random.randint(1, 20) + random.random()
    child = subprocess.Popen(
        [
            sys.executable,
            "-c",
            CHILD,
            str(tiny_model_dir),
            str(out),
            str(torch.get_num_threads()),
            str(steps),
        ],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
    )
    deadline, checkpoints = time.monotonic() + 300, CheckpointFolder(out / "checkpoints")
    while len(checkpoints.steps()) < int(moment):
        assert child.poll() is None and time.monotonic() < deadline, "the child wrote no checkpoints"
        time.sleep(0.001)
    time.sleep(moment % 1 * 0.02)
    child.kill()
    if child.wait() != -signal.SIGKILL:
        pytest.skip("this machine did not get round to the kill before the child was done")
    assert 0 < checkpoints.steps()[-1] < steps

    chat_model = load_chat_model(tiny_model_dir, device="cpu")
    recipe = changed(steps=steps, checkpoint_every=1)
    wanted = run_it(chat_model, tmp_path / "whole", recipe)
    assert_same_run(run_it(chat_model, out, recipe), wanted)
    assert folder_bytes(out) == folder_bytes(tmp_path / "whole"), f"killed at {moment:.3f}"


# Damaged checkpoints


def test_a_checkpoint_cut_short_falls_back_to_the_one_before(
    chat_model: ChatModel,
    finished: Path,
    whole: TrainingRun,
    steps_taken: list[int],
    caplog: pytest.LogCaptureFixture,
):
    newest = CheckpointFolder(finished / "checkpoints").path(12)
    newest.write_bytes(newest.read_bytes()[:-5])
    with caplog.at_level(logging.WARNING):
        assert_same_run(run_it(chat_model, finished), whole)
    assert steps_taken == [9, 10, 11]
    assert "step-000012.safetensors is cut short or damaged" in caplog.text


@pytest.mark.parametrize(("step", "harm"), [(3, "emptied"), (6, "cut short"), (9, "removed")])
def test_a_checkpoint_damaged_in_the_middle_is_trained_again_with_all_that_follow(
    chat_model: ChatModel,
    finished: Path,
    whole: TrainingRun,
    steps_taken: list[int],
    caplog: pytest.LogCaptureFixture,
    step: int,
    harm: str,
):
    before = folder_bytes(finished)
    path = CheckpointFolder(finished / "checkpoints").path(step)
    if harm == "removed":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:100] if harm == "cut short" else b"")
    with caplog.at_level(logging.WARNING):
        assert_same_run(run_it(chat_model, finished), whole)
    assert steps_taken == list(range(step - 3, 12))
    assert f"steps {', '.join(map(str, range(step + 3, 13, 3)))} follow one that is gone" in caplog.text
    assert folder_bytes(finished) == before


def test_a_folder_without_any_whole_checkpoint_is_trained_from_the_start(
    chat_model: ChatModel, finished: Path, whole: TrainingRun
):
    for path in (finished / "checkpoints").iterdir():
        path.write_bytes(b"\0" * 50)
    assert_same_run(run_it(chat_model, finished), whole)


# What stops a run from inside


@pytest.mark.parametrize(
    ("term", "problem"), [("response_nll", "the loss is nan"), ("anchor_kl", "KL is nan")]
)
def test_a_loss_that_is_not_a_number_stops_and_names_the_step_and_the_last_good_checkpoint(
    chat_model: ChatModel,
    tmp_path: Path,
    steps_taken: list[int],
    term: str,
    problem: str,
):
    recipe = changed(checkpoint_every=2)
    loss = getattr(window_module, term)

    def broken(*arguments: object) -> torch.Tensor:
        return loss(*arguments) * (math.nan if len(steps_taken) == 3 else 1)

    with pytest.MonkeyPatch.context() as patched, pytest.raises(TrainingError) as caught:
        patched.setattr(window_module, term, broken)
        run_it(chat_model, tmp_path, recipe)
    message = str(caught.value)
    kept = CheckpointFolder(tmp_path / "checkpoints")
    assert f"{problem} at step 3 of 12" in message
    assert f"Last good checkpoint: {kept.path(2)}." in message
    assert "rows:" in message and "learning_rate (now 0.01)" in message
    assert kept.steps() == [2]
    assert torch.isfinite(kept.load(2).tensors["vector"]).all()
    assert_same_run(run_it(chat_model, tmp_path, recipe), run_it(chat_model, recipe=recipe))


def test_a_gradient_that_is_not_finite_is_never_stepped_on(chat_model: ChatModel, tmp_path: Path):
    def infinite(self: Window, adapter: SteeringVector, step: int) -> tuple[float, None]:
        adapter.vector.grad = torch.full_like(adapter.vector, math.inf)
        return 1.0, None

    with pytest.MonkeyPatch.context() as patched, pytest.raises(TrainingError) as caught:
        patched.setattr(Window, "backward", infinite)
        run_it(chat_model, tmp_path)
    assert "gradient of the loss is not finite at step 1 of 12" in str(caught.value)
    assert "Last good checkpoint: none." in str(caught.value)


def test_a_vector_that_overflows_is_not_kept(chat_model: ChatModel, tmp_path: Path):
    with pytest.raises(TrainingError, match="not finite") as caught:
        run_it(chat_model, tmp_path, changed(learning_rate=1e38, checkpoint_every=1))
    assert "Last good checkpoint: none." in str(caught.value)
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize("write", [2, 4])
def test_a_full_disk_loses_nothing(chat_model: ChatModel, tmp_path: Path, whole: TrainingRun, write: int):
    fsync, calls = os.fsync, []

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) > write:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(handle)

    with pytest.MonkeyPatch.context() as patched, pytest.raises(RunFolderError, match=r"the disk is full"):
        patched.setattr(files.os, "fsync", full)
        run_it(chat_model, tmp_path)
    kept = CheckpointFolder(tmp_path / "checkpoints")
    assert kept.steps() == [3, 6, 9][: write - 1]  # the first write is run.json
    assert all(kept.load(step).step == step for step in kept.steps())
    assert not list(tmp_path.rglob("*.part"))
    assert_same_run(run_it(chat_model, tmp_path), whole)
