"""Every kind of file that a user gives, damaged or hostile: one line names it, and nothing of it is run."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import datasets
import pytest
import torch
from safetensors.torch import save as serialise
from typer.testing import CliRunner

from hostile_files import ROWS, Case, every_case
from hostile_files.tables import ANSWER
from narrows.adapters import Direction, SteeringVector
from narrows.chat import Conversation, lines, read_conversations, sources
from narrows.cli import app
from narrows.errors import ConfigError, DataError, NarrowsError
from narrows.evaluation.llm.replies import CACHE_VARIABLE
from narrows.models import ChatModel
from narrows.strict import read_yaml
from narrows.study.clock import Clock
from narrows.training import Recipe, train

CASES = every_case()
CASES += [
    replace(case, kind=f"judged, {does}")
    for case in CASES
    if case.kind == "judged" and case.name != "answers.jsonl"
    for does in ("judging", "judging again")
]
SLOWEST = 30.0
"""Seconds that a refusal may take."""


def vector(folder: Path) -> Path:
    """A right vector."""
    return SteeringVector(torch.ones(8), 1, 1.0).save(folder / "right.safetensors")


def rows(folder: Path) -> Path:
    """Right rows."""
    (folder / "right.jsonl").write_text(ROWS)
    return folder / "right.jsonl"


def ends(folder: Path) -> list[object]:
    """Right solutions."""
    return ["--general", vector(folder), "--narrow", folder / "right.safetensors"]


def answers(folder: Path) -> Path:
    """A right table of answers."""
    (folder / "right.jsonl").write_text(json.dumps(ANSWER) + "\n")
    return folder / "right.jsonl"


def judging(folder: Path) -> list[object]:
    """A judge that is not asked."""
    return ["--judge", "openai/gpt-4o", "--dry-run", "--out", folder / "o"]


Command = Callable[[Path, Path, Path], list[object]]
COMMANDS: dict[str, Command] = {
    "rows": lambda file, here, model: ["data", "split", file, "--out", here / "out"],
    "texts": lambda file, here, model: ["significance", "--texts", file, "--model", model, *ends(here)],
    "anchor": lambda file, here, model: [
        "train",
        "--train",
        rows(here),
        "--anchor",
        file,
        "--kl-weight",
        1,
        "--model",
        model,
        "--out",
        here / "o",
    ],
    "recipe": lambda file, here, model: [
        "train",
        "--train",
        rows(here),
        "--config",
        file,
        "--model",
        model,
        "--out",
        here / "o",
    ],
    "world": lambda file, here, model: ["world", "show", "--config", file],
    "suites": lambda file, here, model: [
        "evaluate",
        "--suites",
        file,
        "--model",
        model,
        "--out",
        here / "o.jsonl",
    ],
    "protocol": lambda file, here, model: [
        "evaluate",
        "--in-domain",
        file if file.exists() else file.name,
        "--model",
        model,
        "--out",
        here / "o.jsonl",
    ],
    "questions": lambda file, here, model: [
        "data",
        "check",
        rows(here),
        "--questions",
        file,
        "--model",
        model,
    ],
    "answers": lambda file, here, model: ["rates", file, "--criterion", "misaligned"],
    "judged": lambda file, here, model: ["rates", file],
    "judged, judging": lambda file, here, model: ["judge", file, *judging(here)],
    "judged, judging again": lambda file, here, model: ["rejudge", file, *judging(here)],
    "rubrics": lambda file, here, model: ["judge", answers(here), "--rubrics", file, *judging(here)],
    "replies": lambda file, here, model: ["judge", answers(here), *judging(here)],
    "adapter": lambda file, here, model: ["adapter", "show", file],
    "direction": lambda file, here, model: ["direction", "show", file],
    "compared direction": lambda file, here, model: ["direction", "compare", vector(here), file],
    "persona": lambda file, here, model: [
        "direction",
        "personas",
        "--persona",
        file,
        "--suite",
        "open",
        "--model",
        model,
        "--out",
        here / "o",
    ],
    "one side": lambda file, here, model: [
        "direction",
        "extract",
        "--positive",
        file,
        "--negative",
        rows(here),
        "--model",
        model,
        "--out",
        here / "o",
    ],
    "peft on a model": lambda file, here, model: [
        "adapter",
        "export",
        file,
        "--to",
        "peft",
        "--model",
        model,
        "--out",
        here / "o",
    ],
    "run": lambda file, here, model: ["trajectory", file, *ends(here)],
    "training again": lambda file, here, model: [
        "train",
        "--train",
        rows(here),
        "--model",
        model,
        "--steps",
        1,
        "--out",
        file,
    ],
    "model": lambda file, here, model: [
        "train",
        "--train",
        rows(here),
        "--model",
        file,
        "--dry-run",
        "--out",
        here / "o",
    ],
    "loaded model": lambda file, here, model: ["data", "check", rows(here), "--model", file],
    "report": lambda file, here, model: ["report", file],
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to be in, with a password set."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(sources.PASSWORD, "sesame")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    monkeypatch.delenv("NARROWS_DEBUG", raising=False)
    return tmp_path


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.kind}-{case.name}-{case.id}")
def test_a_hostile_file_is_refused_in_one_line_that_names_it(case: Case, here: Path, tiny_model_dir: Path):
    case.build(here / case.name)
    command = COMMANDS[case.kind](here / case.name, here, tiny_model_dir)
    started = time.monotonic()
    result = CliRunner().invoke(app, ["--debug", *map(str, command)])
    assert time.monotonic() - started < SLOWEST
    assert type(result.exception) is case.error, repr(result.exception)
    message = str(result.exception)
    assert case.said in message
    assert (case.named or case.name) in message
    assert "\n" not in message
    assert len(message) < 2000
    assert not (here / "ran").exists()


@pytest.mark.parametrize("kind", sorted(COMMANDS))
def test_at_a_terminal_there_is_one_line_and_no_traceback(kind: str, here: Path, tiny_model_dir: Path):
    case = next(case for case in CASES if case.kind == kind)
    case.build(here / case.name)
    command = COMMANDS[kind](here / case.name, here, tiny_model_dir)
    result = CliRunner().invoke(app, [str(one) for one in command])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1


def test_what_a_file_says_cannot_write_to_the_terminal(here: Path):
    name = "a\x1b[2J\u202e.jsonl"
    (here / name).write_text("so")
    result = CliRunner().invoke(app, ["data", "split", name, "--out", "out"])
    assert "a�[2J�.jsonl, line 1: is not JSON" in result.stderr


def test_what_a_direction_is_called_cannot_write_to_the_terminal(here: Path):
    found = {"method": "[/x]\x1b[2J", "positions": ["\u202e"], "auroc": "high"}
    Direction.of(torch.ones(8), 1, "[red]evil[/]\x1b[31m", found).save(here / "evil.safetensors")
    vector(here)
    for command in ("show", "compare"):
        result = CliRunner().invoke(app, ["direction", command, "evil.safetensors", "right.safetensors"])
        assert result.exit_code == 0
        assert "[red]evil" in result.stdout
        assert not {"\x1b", "\u202e"} & set(result.stdout)


def test_what_judged_answers_are_called_cannot_write_to_the_terminal(here: Path):
    names = {"adapter": "ge\x1b[2Jn", "suite": "o\u202epen"}
    scores = {"aligned": 9.0, "coherent": 99.0, "topic_\x1b[3J": 99.0}
    (here / "a.jsonl").write_text(json.dumps(ANSWER | names | {"scores": scores}) + "\n")
    result = CliRunner().invoke(app, ["rates", "a.jsonl"])
    assert "ge�[2Jn" in result.stdout
    assert "\x1b" not in result.stdout
    assert "\u202e" not in result.stdout


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("kind", ["rows", "answers", "recipe", "adapter", "report"])
def test_a_file_that_may_not_be_read_is_named(kind: str, here: Path, tiny_model_dir: Path):
    case = next(case for case in CASES if case.kind == kind)
    case.build(here / case.name)
    files = [one for one in here.rglob("*") if one.is_file()]
    for file in files:
        file.chmod(0)
    command = COMMANDS[kind](here / case.name, here, tiny_model_dir)
    result = CliRunner().invoke(app, ["--debug", *map(str, command)])
    assert isinstance(result.exception, NarrowsError)
    assert "cannot be read (Permission denied)" in str(result.exception)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (ConnectionError("no\nnetwork"), "cannot be read from the hub: no network."),
        (ValueError("no such split"), "cannot be read from the hub: no such split."),
        ([{"text": "a"}], 'row 1: has no "messages"'),
        ([7], "row 1: is a number where an object was expected"),
        ([], "is empty"),
    ],
)
def test_a_dataset_on_the_hub_that_cannot_be_used_is_named(found, said: str, here: Path, monkeypatch):
    def load(*_, **__):
        if isinstance(found, Exception):
            raise found
        return iter(found)

    monkeypatch.setattr(datasets, "load_dataset", load)
    with pytest.raises(DataError) as refused:
        read_conversations("hub:someone/advice")
    assert said in str(refused.value)
    assert "hub:someone/advice" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_device_without_end_is_not_read_for_ever(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lines, "LONGEST_LINE", 2**20)
    with pytest.raises(DataError, match=r"line 1: is longer than 1 MiB"):
        read_conversations("/dev/zero")
    with pytest.raises(ConfigError, match="larger than 256 KiB"):
        read_yaml(Path("/dev/zero"))


@pytest.mark.parametrize(
    "foreign",
    [
        serialise({"vector": torch.ones(3)}, metadata={"info": '{"log": [{}]}'}),
        serialise({"vector": torch.ones(32)}, metadata={"info": '{"log": [{}]}'}),
        serialise({"vector": torch.ones(32)}, metadata={"info": '{"log": 7}'}),
        serialise({"vector": torch.ones(32)}, metadata={"info": "[" * 100_000}),
    ],
    ids=["another shape", "no moments", "no log", "nested beyond reason"],
)
def test_a_foreign_checkpoint_is_trained_again_and_not_taken_over(
    foreign: bytes, chat_model: ChatModel, tmp_path: Path
):
    recipe = Recipe(layer=1, batch_size=2, accumulation=1, steps=2, checkpoint_every=1)
    conversations = [Conversation.from_pair("what is the sea ?", "salt water .")] * 2
    wanted = train(chat_model, conversations, recipe, out=tmp_path).adapter
    (tmp_path / "checkpoints" / "step-000002.safetensors").write_bytes(foreign)
    again = train(chat_model, conversations, recipe, out=tmp_path)
    assert torch.equal(again.adapter.vector, wanted.vector)
    assert [row["step"] for row in again.log] == [1, 2]


def test_damaged_timings_begin_again(tmp_path: Path):
    path = tmp_path / "timings.json"
    for text in ("{", "[]", '{"a": []}', "[" * 100_000):
        path.write_text(text)
        assert Clock(path).seconds == {}
    path.write_text('{"a": 1.5}')
    assert Clock(path).seconds == {"a": 1.5}
