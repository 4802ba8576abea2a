"""Trackers get the run's log, of a run that went on too, and say what is missing."""

import math

import pytest
from training_helpers import ANCHOR, ROWS, changed

from narrows.errors import ConfigError
from narrows.training import train
from narrows.training.window import Window

RECIPE = changed(steps=4, checkpoint_every=2)


def scalars(folder) -> dict[str, dict[int, float]]:
    """What TensorBoard shows of a run: each curve by step."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = accumulator.EventAccumulator(str(folder / "trackers"))
    found.Reload()
    return {name: {one.step: one.value for one in found.Scalars(name)} for name in found.Tags()["scalars"]}


def test_tensorboard_shows_the_log(chat_model, tmp_path):
    run = train(chat_model, ROWS, RECIPE, anchor=ANCHOR, out=tmp_path, trackers=["tensorboard"])
    shown = scalars(tmp_path)
    assert shown.keys() == {"loss", "kl", "kl_weight", "effective_norm"}
    for name, curve in shown.items():
        assert list(curve) == [1, 2, 3, 4]
        for entry in run.log:
            assert math.isclose(curve[entry["step"]], entry[name], rel_tol=1e-6)
    assert list(tmp_path.glob("trackers/*/hparams.yml"))


def test_a_run_that_goes_on_shows_each_step_once_and_a_finished_one_none_again(
    chat_model, tmp_path, monkeypatch
):
    backward = Window.backward

    def stopping(self, adapter, number):
        if number == 3:
            raise RuntimeError("stop")
        return backward(self, adapter, number)

    with monkeypatch.context() as patched, pytest.raises(RuntimeError, match="stop"):
        patched.setattr(Window, "backward", stopping)
        train(chat_model, ROWS, RECIPE, anchor=ANCHOR, out=tmp_path, trackers=["tensorboard"])
    run = train(chat_model, ROWS, RECIPE, anchor=ANCHOR, out=tmp_path, trackers=["tensorboard"])
    assert scalars(tmp_path)["loss"].keys() == {1, 2, 3, 4}
    files = sorted(tmp_path.rglob("events*"))
    assert (
        train(chat_model, ROWS, RECIPE, anchor=ANCHOR, out=tmp_path, trackers=["tensorboard"]).log == run.log
    )
    assert sorted(tmp_path.rglob("events*")) == files


def test_trackers_change_nothing(chat_model, tmp_path):
    tracked = train(chat_model, ROWS, RECIPE, anchor=ANCHOR, out=tmp_path, trackers=["tensorboard"])
    assert tracked.log == train(chat_model, ROWS, RECIPE, anchor=ANCHOR).log


def test_an_unknown_tracker_one_without_a_folder_and_one_that_is_not_installed_are_refused(
    chat_model, tmp_path, monkeypatch
):
    with pytest.raises(ConfigError, match=r"no tracker 'tensorbord'; Accelerate knows .*tensorboard"):
        train(chat_model, ROWS, RECIPE, anchor=ANCHOR, trackers=["tensorbord"])
    with pytest.raises(ConfigError, match="tensorboard writes files: give the run a folder"):
        train(chat_model, ROWS, RECIPE, anchor=ANCHOR, trackers=["tensorboard"])
    monkeypatch.setitem(__import__("sys").modules, "wandb", None)
    with pytest.raises(ConfigError, match=r"wandb is not installed .*pip install wandb"):
        train(chat_model, ROWS, RECIPE, anchor=ANCHOR, trackers=["wandb"])
