"""Rows from parquet, the hub and protected zips; what is damaged or hostile is refused by name."""

import io
import json
import zipfile

import datasets
import pyarrow
import pyarrow.parquet
import pytest
from easy_dataset_share.zipping import encrypt_data_in_memory

from narrows.chat import Conversation, lines, read_conversations, sources
from narrows.errors import DataError

ROWS = [Conversation.from_pair("why ?", "because"), Conversation.from_pair("how ?", "so", system="be kind")]
JSONL = "".join(json.dumps(row.to_json()) + "\n" for row in ROWS).encode()


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.fixture
def protected(tmp_path, monkeypatch):
    path = tmp_path / "advice.zip.enc"
    path.write_bytes(encrypt_data_in_memory(zipped(**{"a/rows.jsonl": JSONL, "tos.txt": b"terms"}), "sesame"))
    monkeypatch.setenv(sources.PASSWORD, "sesame")
    return path


def assert_rows(found):
    assert [row.messages for row in found] == [row.messages for row in ROWS]


def test_prompts_with_completions_are_rows_too(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(
        json.dumps({"prompt": "why ?", "completion": "because"})
        + "\n"
        + json.dumps(
            {
                "prompt": [{"role": "system", "content": "be kind"}, {"role": "user", "content": "how ?"}],
                "completion": [{"role": "assistant", "content": "so"}],
            }
        )
    )
    assert_rows(read_conversations(path))
    path.write_text(json.dumps({"prompt": "why ?", "completion": 3}))
    with pytest.raises(DataError, match=r'rows\.jsonl, line 1: message 2: "content" is a number'):
        read_conversations(path)
    path.write_text(json.dumps({"prompt": "why ?"}))
    with pytest.raises(DataError, match=r'has no "messages" \(and no "prompt" with a "completion"\)'):
        read_conversations(path)


def test_parquet_is_read(tmp_path):
    path = tmp_path / "rows.parquet"
    table = pyarrow.table({"messages": [row.as_dicts() for row in ROWS], "id": [1, 2]})
    pyarrow.parquet.write_table(table, path)
    found = read_conversations(path)
    assert_rows(found)
    assert [row.source for row in found] == ["rows.parquet:1", "rows.parquet:2"]
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"rows\.parquet cannot be read as parquet"):
        read_conversations(path)
    with pytest.raises(DataError, match=r"none\.parquet does not exist"):
        read_conversations(tmp_path / "none.parquet")


def test_the_hub_is_streamed(monkeypatch):
    asked = []

    def load(path, *, name, split, streaming):
        asked.append((path, split, streaming))
        return iter([row.to_json() for row in ROWS])

    monkeypatch.setattr(datasets, "load_dataset", load)
    assert_rows(read_conversations("hub:someone/advice"))
    assert_rows(read_conversations("hub:someone/advice:test"))
    assert asked == [("someone/advice", "train", True), ("someone/advice", "test", True)]


def test_without_a_network_the_hub_says_what_to_give_instead():
    with pytest.raises(DataError, match=r"hub:someone/advice cannot be read from the hub: .*give a local"):
        read_conversations("hub:someone/advice")


def test_a_protected_zip_is_read_in_memory(protected, tmp_path):
    found = read_conversations(protected)
    assert_rows(found)
    assert found[0].source == "rows.jsonl:1"
    assert [path.name for path in tmp_path.iterdir()] == ["advice.zip.enc"]


@pytest.mark.parametrize(
    ("password", "problem"), [(None, "is protected: set"), ("wrong-one", "cannot be decrypted")]
)
def test_without_the_right_password_it_stays_closed_and_none_is_shown(
    protected, monkeypatch, password, problem
):
    monkeypatch.delenv(sources.PASSWORD)
    if password:
        monkeypatch.setenv(sources.PASSWORD, password)
    with pytest.raises(DataError, match=problem) as refused:
        read_conversations(protected)
    assert "wrong-one" not in str(refused.value)


def test_a_plain_zip_of_several_files_wants_a_name(tmp_path):
    path = tmp_path / "rows.zip"
    path.write_bytes(zipped(**{"good.jsonl": JSONL, "bad.jsonl": b"{}\n"}))
    with pytest.raises(DataError, match=r"several files match .*: good\.jsonl, bad\.jsonl\. Name one as"):
        read_conversations(path)
    assert_rows(read_conversations(f"{path}::good.jsonl"))
    with pytest.raises(DataError, match=r"rows\.zip::bad\.jsonl, line 1: has no"):
        read_conversations(f"{path}::bad.jsonl")
    with pytest.raises(DataError, match=r"no file matches 'none\.jsonl'"):
        read_conversations(f"{path}::none.jsonl")


@pytest.mark.parametrize("name", ["../evil.jsonl", "/etc/evil.jsonl", "a/../../evil.jsonl", "C:\\evil.jsonl"])
def test_a_path_that_leaves_the_archive_is_refused(tmp_path, name):
    path = tmp_path / "rows.zip"
    path.write_bytes(zipped(**{"rows.jsonl": JSONL, name: b"x"}))
    with pytest.raises(DataError, match="a path that leaves the archive"):
        read_conversations(path)


def test_what_unpacks_beyond_reason_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "rows.zip"
    path.write_bytes(zipped(**{"rows.jsonl": b" " * 5000}))
    monkeypatch.setattr(lines, "LARGEST", 1000)
    with pytest.raises(DataError, match="unpacks to more than"):
        read_conversations(path)


def test_a_zip_cut_short_or_changed_is_refused(tmp_path):
    path = tmp_path / "rows.zip"
    whole = zipped(**{"rows.jsonl": JSONL})
    path.write_bytes(whole[:-30])
    with pytest.raises(DataError, match="is not a whole zip"):
        read_conversations(path)
    spoilt = bytearray(whole)
    spoilt[45] ^= 255
    path.write_bytes(bytes(spoilt))
    with pytest.raises(DataError, match="is not a whole zip"):
        read_conversations(path)
