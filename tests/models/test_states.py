"""States on disk are the states, are found again, and never take more room than they may."""

import json
import logging
import os

import pytest
import torch
from typer.testing import CliRunner

from narrows.chat import Conversation, Rendered
from narrows.cli.app import app
from narrows.errors import ConfigError, RunFolderError
from narrows.models import ChatModel, FrozenRows, frozen, keep_states, keeping_states, states
from narrows.models.states import StateFolder

MIB = 2**20


@pytest.fixture
def rows(chat_model: ChatModel, conversations: list[Conversation]) -> list[Rendered]:
    return [chat_model.renderer.render(conversation) for conversation in conversations]


def made(chat_model: ChatModel, rows: list[Rendered], **options: object) -> FrozenRows:
    return FrozenRows(chat_model, 2, rows, **({"read": "all", "reference": True} | options))


def same(one: FrozenRows, other: FrozenRows) -> None:
    for indices in ([0], [3, 1], [4, 2, 0, 0]):
        for padded in (False, True):
            first, second = one.batch(indices, padded=padded), other.batch(indices, padded=padded)
            assert torch.equal(first.hidden, second.hidden)
            assert torch.equal(first.reference, second.reference)


def sets(folder) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


@pytest.mark.parametrize("shard", [1, 2**28])
def test_they_are_those_in_memory_bit_for_bit_and_computed_once(
    chat_model, rows, tmp_path, monkeypatch, caplog, shard
):
    monkeypatch.setattr(frozen, "BUILD_ROWS", 2)
    monkeypatch.setattr(states, "SHARD_BYTES", shard)
    in_memory = made(chat_model, rows)
    with keeping_states(tmp_path, MIB), caplog.at_level(logging.INFO, "narrows"):
        first = made(chat_model, rows)
        monkeypatch.setattr(FrozenRows, "_run", None)  # nothing is computed from here on
        again = made(chat_model, rows, cache_bytes=0)
    assert "states of 1 MiB are kept" in caplog.text
    assert str(tmp_path) in caplog.text
    same(first, in_memory)
    same(again, in_memory)
    assert len(sets(tmp_path)) == 1
    assert len(list(next(tmp_path.iterdir()).glob("*.safetensors"))) == (5 if shard == 1 else 1)


def test_what_they_depend_on_has_a_set_of_its_own(chat_model, rows, tmp_path):
    with keeping_states(tmp_path, MIB):
        made(chat_model, rows)
        for options in ({"read": "response"}, {"reference": False}, {"pack": False}):
            made(chat_model, rows, **options)
        made(chat_model, rows[1:])
        FrozenRows(chat_model, 1, rows, read="all", reference=True)
        assert len(sets(tmp_path)) == 6
        made(chat_model, rows, stored=False)
    made(chat_model, rows[:1])
    assert len(sets(tmp_path)) == 6, "only within, and only what is determined by weights and rows"


def test_what_was_not_read_for_longest_makes_room(chat_model, rows, tmp_path):
    def size_of(folder) -> int:
        return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())

    with keeping_states(tmp_path, MIB):
        made(chat_model, rows[:2])
    (oldest,) = sets(tmp_path)
    one = size_of(tmp_path)
    with keeping_states(tmp_path, int(2.2 * one)):
        made(chat_model, rows[:2], read="response")
        made(chat_model, rows[:2])  # read again: now the other is the oldest
        before = set(sets(tmp_path))
        made(chat_model, rows[1:3])
    after = set(sets(tmp_path))
    assert oldest in before & after
    assert len(before - after) == 1
    assert size_of(tmp_path) <= 2.2 * one


def test_a_set_beyond_the_limit_is_kept_in_memory_as_ever(chat_model, rows, tmp_path):
    with keeping_states(tmp_path, 1000):
        found = made(chat_model, rows)
    same(found, made(chat_model, rows))
    assert not tmp_path.exists() or not sets(tmp_path)


@pytest.mark.parametrize("harm", ["index", "shard"])
def test_a_damaged_set_is_computed_again(chat_model, rows, tmp_path, caplog, harm):
    with keeping_states(tmp_path, MIB):
        made(chat_model, rows)
        (folder,) = tmp_path.iterdir()
        if harm == "index":
            (folder / "index.json").write_text("{")
        else:
            next(folder.glob("*.safetensors")).write_bytes(b"no")
        found = made(chat_model, rows)
    same(found, made(chat_model, rows))
    assert "is damaged and is computed again" in caplog.text


def test_a_folder_that_cannot_be_written_is_named(chat_model, rows, tmp_path):
    (tmp_path / "file").write_text("a file")
    with (
        keeping_states(tmp_path / "file" / "states", MIB),
        pytest.raises(RunFolderError, match="file/states"),
    ):
        made(chat_model, rows)


def test_no_room_at_all_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="room on the disk"):
        StateFolder(tmp_path, 0)


def test_processes_that_are_started_keep_theirs_in_the_same_folder(chat_model, rows, tmp_path, monkeypatch):
    for name in (states.FOLDER_VARIABLE, states.LIMIT_VARIABLE):
        monkeypatch.setenv(name, "")  # what is set below is undone with it
    keep_states(tmp_path / "states", 0.5)
    assert os.environ[states.FOLDER_VARIABLE] == str(tmp_path / "states")
    made(chat_model, rows)
    assert len(sets(tmp_path / "states")) == 1
    monkeypatch.setenv(states.LIMIT_VARIABLE, "much")
    with pytest.raises(ConfigError, match="NARROWS_STATES_GIB must be a number of GiB, not 'much'"):
        made(chat_model, rows)


def test_a_command_says_how_much_it_keeps_and_finds_it_again(tiny_model_dir, tmp_path, monkeypatch):
    for name in (states.FOLDER_VARIABLE, states.LIMIT_VARIABLE):
        monkeypatch.setenv(name, "")
    data = tmp_path / "rows.jsonl"
    pairs = [("what is the sky ?", "the sky is red ."), ("is it good ?", "it is bad .")]
    chats = [Conversation.from_pair(*pair).to_json() for pair in pairs]
    data.write_text("".join(json.dumps(one) + "\n" for one in chats))
    train = ("train", "--model", tiny_model_dir, "--train", data, "--steps", 2, "--layer", 1, "--out")
    said = [
        CliRunner().invoke(app, [str(one) for one in ("--states", tmp_path / "s", *train, tmp_path / name)])
        for name in ("one", "two")
    ]
    assert [one.exit_code for one in said] == [0, 0], said[0].output
    assert "states of 1 MiB are kept in" in said[0].stderr and "are kept in" not in said[1].stderr
    assert len(sets(tmp_path / "s")) >= 1
