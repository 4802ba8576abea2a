"""Observers see every checkpoint once and in order, however often the run is killed, and may end it."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from training_helpers import ANCHOR, RECIPE, ROWS, assert_same_adapter, assert_same_run, changed, vector

from narrows.adapters import Adapter
from narrows.geometry import read_trajectory
from narrows.models import ChatModel
from narrows.training import Observer, TrainingRun, train
from narrows.training.window import Window

STEPS = [0, 3, 6, 9, 12]


class Seen:
    """Remembers what it was shown; ends the training at a step, if one is given."""

    def __init__(self, ends_at: int | None = None) -> None:
        self.steps: list[int] = []
        self.adapters: dict[int, Adapter] = {}
        self._ends_at = ends_at

    def checkpoint(self, chat_model: ChatModel, step: int, adapter: Adapter) -> bool:
        self.steps.append(step)
        self.adapters[step] = adapter
        return step == self._ends_at


def run_it(chat_model: ChatModel, observers: Sequence[Observer] = (), out: Path | None = None) -> TrainingRun:
    return train(chat_model, ROWS, RECIPE, anchor=ANCHOR, observers=observers, out=out)


def folder_bytes(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def killed_at(step: int, chat_model: ChatModel, observers: Sequence[Observer], out: Path) -> None:
    """Run until a step, counted from 0, and lose the process there."""
    backward = Window.backward

    def stopping(self: Window, adapter: Adapter, number: int) -> object:
        if number == step:
            raise KeyboardInterrupt
        return backward(self, adapter, number)

    with pytest.MonkeyPatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Window, "backward", stopping)
        run_it(chat_model, observers, out)


@pytest.fixture(scope="module")
def whole(chat_model: ChatModel) -> TrainingRun:
    """The run that nobody looked at."""
    return run_it(chat_model)


def test_every_checkpoint_is_shown_once_and_in_order_and_changes_nothing(
    chat_model: ChatModel, whole: TrainingRun
):
    first, second = Seen(), Seen()
    run = run_it(chat_model, [first, second])
    assert first.steps == second.steps == STEPS
    assert_same_run(run, whole)
    assert not run.stopped
    for step in STEPS:
        assert_same_adapter(first.adapters[step], whole.trajectory[step])


def test_what_an_observer_does_to_its_adapter_stays_with_it(chat_model: ChatModel, whole: TrainingRun):
    class Meddler(Seen):
        def checkpoint(self, chat_model: ChatModel, step: int, adapter: Adapter) -> bool:
            adapter.parameters()[0].fill_(9.0)
            return super().checkpoint(chat_model, step, adapter)

    after = Seen()
    assert_same_run(run_it(chat_model, [Meddler(), after]), whole)
    assert_same_adapter(after.adapters[6], whole.trajectory[6])


def test_the_model_that_an_observer_gets_has_nothing_attached(chat_model: ChatModel):
    ids = torch.tensor([[7, 8, 9, 10]])

    class Asking(Seen):
        def checkpoint(self, chat_model: ChatModel, step: int, adapter: Adapter) -> bool:
            with torch.no_grad():
                self.logits = chat_model.model(input_ids=ids).logits
            assert torch.equal(self.logits, plain)
            with torch.no_grad(), adapter.attach(chat_model):
                assert torch.equal(chat_model.model(input_ids=ids).logits, plain) == (step == 0)
            return super().checkpoint(chat_model, step, adapter)

    with torch.no_grad():
        plain = chat_model.model(input_ids=ids).logits
    asking = Asking()
    train(chat_model, ROWS, RECIPE, anchor=ANCHOR, preventative=vector(), observers=[asking])
    assert asking.steps == STEPS


def test_after_a_kill_they_see_all_of_it_again(chat_model: ChatModel, tmp_path: Path, whole: TrainingRun):
    before, after, later = Seen(), Seen(), Seen()
    killed_at(7, chat_model, [before], tmp_path)
    assert before.steps == [0, 3, 6]
    assert_same_run(run_it(chat_model, [after], tmp_path), whole)
    assert after.steps == STEPS
    assert_same_run(run_it(chat_model, [later], tmp_path), whole)  # nothing is trained, all is shown
    assert later.steps == STEPS
    for step in STEPS:
        assert_same_adapter(after.adapters[step], whole.trajectory[step])
        assert_same_adapter(later.adapters[step], whole.trajectory[step])


@pytest.mark.parametrize("step", [0, 6])
def test_an_observer_ends_the_training_at_its_checkpoint(
    chat_model: ChatModel, tmp_path: Path, whole: TrainingRun, step: int
):
    stopping, beside = Seen(ends_at=step), Seen()
    run = run_it(chat_model, [stopping, beside], tmp_path)
    assert (run.stopped, run.steps, run.log) == (True, step, whole.log[:step])
    assert list(run.trajectory) == stopping.steps == beside.steps == [s for s in STEPS if s <= step]
    assert_same_adapter(run.adapter, whole.trajectory[step])
    assert run.adapter.metadata["steps"] == step
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == step
    if step:
        assert list(read_trajectory(tmp_path)) == [s for s in STEPS if s <= step]


def test_ending_at_the_last_step_is_no_early_end(chat_model: ChatModel, whole: TrainingRun):
    run = run_it(chat_model, [Seen(ends_at=12)])
    assert not run.stopped
    assert_same_run(run, whole)


def test_stopped_twice_or_after_a_kill_it_leaves_the_same_bytes(chat_model: ChatModel, tmp_path: Path):
    once, killed = tmp_path / "once", tmp_path / "killed"
    run = run_it(chat_model, [Seen(ends_at=6)], once)
    left = folder_bytes(once)
    again = run_it(chat_model, [Seen(ends_at=6)], once)
    assert_same_run(again, run)
    assert again.stopped
    assert folder_bytes(once) == left
    killed_at(5, chat_model, [Seen(ends_at=6)], killed)
    assert_same_run(run_it(chat_model, [Seen(ends_at=6)], killed), run)
    assert folder_bytes(killed) == left


def test_in_a_folder_that_went_further_it_ends_where_it_would_have(
    chat_model: ChatModel, tmp_path: Path, whole: TrainingRun
):
    run_it(chat_model, out=tmp_path)
    further = folder_bytes(tmp_path)
    run = run_it(chat_model, [Seen(ends_at=6)], tmp_path)
    assert_same_run(run, run_it(chat_model, [Seen(ends_at=6)]))
    # The checkpoints stay, so that the run can be had whole again.
    assert_same_run(run_it(chat_model, out=tmp_path), whole)
    assert folder_bytes(tmp_path) == further


def test_a_stopped_run_goes_on_without_the_observer(
    chat_model: ChatModel, tmp_path: Path, whole: TrainingRun
):
    run_it(chat_model, [Seen(ends_at=6)], tmp_path / "run")
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    assert_same_run(run_it(chat_model, out=tmp_path / "run"), whole)
    later = Seen(ends_at=9)
    assert run_it(chat_model, [later], tmp_path / "copy").steps == 9
    assert later.steps == [0, 3, 6, 9]


def test_the_last_step_is_shown_where_it_is_no_multiple(chat_model: ChatModel):
    seen = Seen()
    train(chat_model, ROWS, changed(steps=4), anchor=ANCHOR, observers=[seen])
    assert seen.steps == [0, 3, 4]
