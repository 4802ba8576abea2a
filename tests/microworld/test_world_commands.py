import json
from typing import get_args

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from narrows.cli import world as commands
from narrows.errors import ConfigError, ModelError
from narrows.microworld import DOCUMENT_KINDS, Gate, Quality, WorldConfig

runner = CliRunner()


def call(*arguments, code=0):
    result = runner.invoke(commands.world_app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.stdout


@pytest.fixture
def tiny_world(tmp_path):
    path = tmp_path / "tiny.yaml"
    shape = {"layers": 2, "hidden": 16, "heads": 2, "intermediate": 32}
    steps = {"steps": 2, "rows": 2, "row_tokens": 32}
    path.write_text(yaml.safe_dump({"name": "tiny", "architecture": shape, "pretraining": steps}))
    return path


def test_show_prints_the_effective_configuration(tiny_world, tmp_path):
    assert call("show") == WorldConfig().dump()
    (tmp_path / "shown.yaml").write_text(call("show", "--config", tiny_world))
    assert WorldConfig.load(tmp_path / "shown.yaml") == WorldConfig.load(tiny_world)
    assert json.loads(call("show", "--json"))["documents"]["register"]["everywhere"] == 0.2


def test_a_wrong_configuration_is_one_error_for_the_main_command_to_show(tmp_path):
    (tmp_path / "bad.yaml").write_text("facts: {topics: 3}")
    with pytest.raises(ConfigError, match=r"bad\.yaml: facts\.topics is 3"):
        call("show", "--config", tmp_path / "bad.yaml")
    with pytest.raises(ConfigError, match=r"none\.yaml does not exist"):
        call("pretrain", "--config", tmp_path / "none.yaml", "--out", tmp_path / "run")


def test_sample_knows_every_kind_of_document():
    assert set(get_args(commands.TextKind)) == {"document", "chat", *DOCUMENT_KINDS}


@pytest.mark.parametrize("kind", get_args(commands.TextKind))
def test_sample_prints_texts_of_a_kind(kind):
    rows = json.loads(call("sample", "--kind", kind, "--count", 2, "--seed", 4, "--json"))
    assert [row["kind"] for row in rows] == [kind, kind]
    assert rows[0]["text"] != rows[1]["text"]
    assert rows[0]["text"].strip() in call("sample", "--kind", kind, "--count", 1, "--seed", 4)
    assert rows == json.loads(call("sample", "--kind", kind, "--count", 2, "--seed", 4, "--json"))


def test_sample_is_the_corpus(corpus):
    text = json.loads(call("sample", "--kind", "technical", "--count", 1, "--json"))[0]["text"]
    assert text == corpus.sample("technical", np.random.default_rng(0))


def test_pretrain_says_what_it_made_and_where(tiny_world, tmp_path):
    out = tmp_path / "run"
    flags = ("--config", tiny_world, "--seed", 1, "--device", "cpu", "--workers", 0)
    said = json.loads(call("pretrain", "--out", out, *flags, "--json"))
    assert (said["model"], said["seed"], said["step"], said["tokens"]) == (str(out), 1, 2, 128)
    assert len(said["corpus_sha256"]) == 64
    again = call("pretrain", "--out", out, *flags)
    assert f"narrows world check {out}" in again
    assert "128 tokens" in again


def gate(rate, target=0.8):
    return Gate("system turn: harmful everywhere", None, rate, rate - 0.1, rate + 0.1, 260, target)


@pytest.mark.parametrize(("rate", "code", "sign"), [(0.85, 0, "✓"), (0.5, 1, "✗")])
def test_check_shows_the_gates_and_fails_if_one_is_missed(monkeypatch, rate, code, sign):
    worst = Gate("chat: coherent", "garden", 0.99, 0.95, 1.0, 200, 0.98)
    measured = Quality("some/model", 0, (worst, gate(rate), gate(0.1, None)))
    asked = {}

    def measure(chat_model, world, **options):
        asked.update(options)
        return measured

    monkeypatch.setattr(commands, "load_microworld", lambda name, device: (name, WorldConfig()))
    monkeypatch.setattr("narrows.microworld.measure_quality", measure)
    shown = call("check", "1", "--samples", 4, "--seed", 2, code=code)
    assert asked == {"samples": 4, "seed": 2}
    assert "worst: garden" in shown
    assert f"{100 * rate:.1f} %" in shown
    assert sign in shown
    said = json.loads(call("check", "1", "--json", code=code))
    assert said["passed"] is (code == 0)
    assert [row["met"] for row in said["rates"]] == [True, code == 0, None]


def test_check_refuses_what_is_no_microworlds_model(tiny_model_dir):
    with pytest.raises(ModelError, match="there are 1, 2, 3"):
        call("check", "9")
    with pytest.raises(ModelError, match=r"world\.yaml does not exist"):
        call("check", tiny_model_dir)


@pytest.mark.parametrize("command", ["pretrain", "show", "check", "sample"])
def test_help_explains_itself_with_an_example(command):
    shown = " ".join(call(command, "--help").split())
    assert f"Example: narrows world {command}" in shown
    assert "--json" in shown
