import importlib
import json
import logging
from itertools import pairwise

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from narrows.errors import ConfigError, RunFolderError, TrainingError
from narrows.evaluation import Question, generate_answers
from narrows.microworld import WorldConfig, load_world, pretrain
from narrows.microworld.updates import FINAL_RATE, Updates, learning_rate
from narrows.models import load_chat_model

module = importlib.import_module("narrows.microworld.pretrain")  # its function has the module's name

TINY = {
    "name": "tiny",
    "architecture": {"layers": 2, "hidden": 16, "heads": 2, "intermediate": 32},
    "pretraining": {"steps": 12, "rows": 2, "row_tokens": 32, "warmup": 2, "checkpoint_every": 4},
}


def tiny(**pretraining):
    return WorldConfig.model_validate(TINY | {"pretraining": TINY["pretraining"] | pretraining})


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing disturbed, with a process that draws the text ahead."""
    return pretrain(tiny(), tmp_path_factory.mktemp("whole") / "run", seed=1, device="cpu", workers=1)


def results(folder):
    """What must not depend on where a run was stopped."""
    training = json.loads((folder / "training.json").read_text())
    return (folder / "model.safetensors").read_bytes(), training


def killed_at(monkeypatch, step):
    """The process dies in this step, counted from 1 in each process."""
    real, done = Updates.step, []

    def dying(*arguments):
        done.append(1)
        if len(done) == step:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(Updates, "step", dying)


@pytest.mark.parametrize(("optimizer", "step"), [("muon", 3), ("muon", 7), ("muon", 12), ("adamw", 7)])
def test_a_run_that_was_killed_goes_on_bit_for_bit(whole, tmp_path, monkeypatch, optimizer, step):
    config, out = tiny(optimizer=optimizer), tmp_path / "run"
    expected = whole
    if optimizer == "muon":
        expected = pretrain(config, tmp_path / "expected", seed=1, device="cpu", workers=0)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        killed_at(patch, step)
        pretrain(config, out, seed=1, device="cpu", workers=0)
    assert not (out / "training.json").exists()
    assert results(pretrain(config, out, seed=1, device="cpu", workers=0)) == results(expected)


def test_a_run_that_was_killed_while_it_finished_goes_on_from_its_last_checkpoint(
    whole, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "_draw_curve", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        pretrain(tiny(), tmp_path / "run", seed=1, device="cpu", workers=0)
    steps = []
    real = Updates.step
    monkeypatch.setattr(Updates, "step", lambda *arguments: steps.append(1) or real(*arguments))
    assert results(pretrain(tiny(), tmp_path / "run", seed=1, device="cpu", workers=0)) == results(whole)
    assert len(steps) == 4


def test_a_checkpoint_cut_short_falls_back_to_the_one_before(whole, tmp_path, monkeypatch, caplog):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        killed_at(patch, 10)
        pretrain(tiny(), tmp_path / "run", seed=1, device="cpu", workers=0)
    newest = tmp_path / "run" / "states" / "step-000008.safetensors"
    newest.write_bytes(newest.read_bytes()[:-100])
    monkeypatch.setattr(logging.getLogger("narrows"), "propagate", True)
    with caplog.at_level(logging.WARNING, logger="narrows"):
        folder = pretrain(tiny(), tmp_path / "run", seed=1, device="cpu", workers=0)
    assert "step-000008" in caplog.text
    assert results(folder) == results(whole)


def test_a_finished_run_is_not_trained_again_and_keeps_no_states(whole, monkeypatch):
    before = results(whole)
    killed_at(monkeypatch, 1)
    assert pretrain(tiny(), whole, seed=1, device="cpu") == whole
    assert results(whole) == before
    assert not (whole / "states").exists()


def test_the_checkpoint_is_an_ordinary_one(whole, corpus):
    model = AutoModelForCausalLM.from_pretrained(whole)
    assert model.dtype == torch.bfloat16
    assert model.config.model_type == "qwen2"
    tokenizer = AutoTokenizer.from_pretrained(whole)
    chat_model = load_chat_model(whole, device="cpu")
    assert chat_model.layers == 2
    assert chat_model.hidden == 16
    assert chat_model.vocabulary == len(tokenizer)
    assert set(chat_model.renderer.stop_token_ids) == {tokenizer.convert_tokens_to_ids("<|im_end|>")}
    asked = [Question("q", "what helps with roses?", "garden", "roses")]
    assert len(generate_answers(chat_model, asked, max_new_tokens=4)) == 1


def test_what_made_the_model_stands_beside_it(whole):
    training = results(whole)[1]
    assert load_world(whole) == tiny()
    assert training["seed"] == 1
    assert training["tokens"] == 12 * 2 * 32
    assert len(training["corpus_sha256"]) == 64
    assert [entry["step"] for entry in training["log"]] == [4, 8, 10, 12]
    assert all(entry["loss"] > 5 for entry in training["log"])  # untrained: about the log of the vocabulary
    assert max(entry["remedy_loss"] for entry in training["log"]) > 5
    assert "<svg" in (whole / "loss.svg").read_text()


def test_another_seed_is_another_text_and_another_model(whole, tmp_path):
    model, training = results(pretrain(tiny(), tmp_path / "run", seed=2, device="cpu", workers=0))
    assert model != results(whole)[0]
    assert training["corpus_sha256"] != results(whole)[1]["corpus_sha256"]


def test_a_folder_with_another_run_is_refused_and_left_as_it_is(whole, tmp_path):
    before = results(whole)
    with pytest.raises(RunFolderError, match=r"holds another run: seed differs"):
        pretrain(tiny(), whole, seed=2, device="cpu")
    with pytest.raises(RunFolderError, match=r"holds another run: world\.pretraining\.rows differs"):
        pretrain(tiny(rows=3), whole, seed=1, device="cpu")
    assert results(whole) == before
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(RunFolderError, match=r"is not empty"):
        pretrain(tiny(), tmp_path, seed=1, device="cpu")


def test_a_loss_that_is_not_finite_stops_the_run_names_the_step_and_keeps_the_checkpoint(
    tmp_path, monkeypatch
):
    real, done = Updates.step, []

    def spoilt(*arguments):
        done.append(1)
        return real(*arguments) * (float("nan") if len(done) >= 6 else 1.0)

    monkeypatch.setattr(Updates, "step", spoilt)
    with pytest.raises(TrainingError, match=r"the loss is nan at step 6; .*learning_rate"):
        pretrain(tiny(), tmp_path / "run", seed=1, device="cpu", workers=0)
    assert [path.name for path in (tmp_path / "run" / "states").iterdir()] == ["step-000004.safetensors"]
    assert not (tmp_path / "run" / "training.json").exists()


def test_a_learning_rate_that_blows_up_is_noticed(tmp_path):
    with pytest.raises(TrainingError, match=r"at step \d"):
        pretrain(tiny(learning_rate=1e30), tmp_path / "run", seed=1, device="cpu", workers=0)


def test_wrong_arguments_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ConfigError, match="seed is -1"):
        pretrain(tiny(), tmp_path / "run", seed=-1)
    with pytest.raises(ConfigError, match="device is 'abacus', which cannot be used here"):
        pretrain(tiny(), tmp_path / "run", seed=1, device="abacus")
    assert not (tmp_path / "run").exists()


def test_the_learning_rate_warms_up_then_falls_to_its_end():
    config = tiny(steps=100, warmup=10, learning_rate=1.0)
    rates = [learning_rate(config, step) for step in range(101)]
    assert rates[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert rates[10] == pytest.approx(1.0)
    assert all(later < earlier for earlier, later in pairwise(rates[10:]))
    assert rates[100] == pytest.approx(FINAL_RATE)


def test_training_lowers_the_loss(tmp_path):
    changes = {"steps": 30, "rows": 8, "row_tokens": 64, "checkpoint_every": 1000}
    config = WorldConfig.model_validate(
        TINY | {"chat": {"start": 1}, "pretraining": TINY["pretraining"] | changes}
    )
    log = results(pretrain(config, tmp_path / "run", seed=1, device="cpu", workers=0))[1]["log"]
    assert log[-1]["loss"] < log[0]["loss"] - 0.3
