import gzip
import json
from pathlib import Path

import pytest

from narrows.chat import Conversation, read_conversations, write_conversations
from narrows.errors import DataError

GOOD = json.dumps(Conversation.from_pair("why ?", "because").to_json())


def turns(*pairs: tuple[str, object]) -> str:
    return json.dumps({"messages": [{"role": role, "content": content} for role, content in pairs]})


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_what_is_written_is_read_back(tmp_path: Path, name: str):
    rows = [
        Conversation.from_pair("größe ? \u2028 line", "über", system="be kind", domain="sea"),
        Conversation.from_pair("a", "b\nc"),
    ]
    write_conversations(tmp_path / name, rows)
    found = read_conversations(tmp_path / name)
    assert [(row.messages, row.tags) for row in found] == [(row.messages, row.tags) for row in rows]
    assert [row.source for row in found] == [f"{name}:1", f"{name}:2"]


def test_the_same_rows_make_the_same_compressed_bytes_at_any_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for day, name in enumerate(("a.jsonl.gz", "b.jsonl.gz")):
        monkeypatch.setattr("time.time", lambda day=day: 86_400.0 * day)
        write_conversations(tmp_path / name, [Conversation.from_pair("a", "b")])
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()


def test_blank_lines_a_byte_order_mark_and_other_fields_do_no_harm_and_lines_keep_their_numbers(
    tmp_path: Path,
):
    path = tmp_path / "rows.jsonl"
    extra = json.dumps(json.loads(GOOD) | {"id": 7, "tags": None})
    path.write_bytes(b"\xef\xbb\xbf" + f"{GOOD}\r\n\n{extra}".encode())
    assert [row.source for row in read_conversations(path)] == ["rows.jsonl:1", "rows.jsonl:3"]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[1]", "is a list where an object was expected"),
        ("7", "is a number where an object was expected"),
        ("{}", 'has no "messages"'),
        ('{"messages": null}', 'has null as "messages"'),
        ('{"messages": []}', 'has an empty list as "messages"'),
        ('{"messages": ["hello"]}', "message 1: is text where an object was expected"),
        ('{"messages": [{"content": "a"}]}', 'message 1: has no "role"'),
        ('{"messages": [{"role": "user"}]}', 'message 1: has no "content"'),
        (turns(("user", "a"), ("robot", "b")), "message 2: unknown role 'robot'"),
        (turns(("user", "a"), ("assistant", 7)), 'message 2: "content" is a number'),
        (turns(("user", "a"), ("assistant", " \n")), 'message 2: "content" is empty'),
        (turns(("user", "a"), ("assistant", "\ud800")), "lone surrogate"),
        (turns(("user", "a")), "ends with a user message"),
        (turns(("assistant", "a")), "has no user message"),
        (turns(("user", "a"), ("system", "b"), ("assistant", "c")), "system message at place 2"),
        (GOOD[:-1] + ', "tags": ["sea"]}', 'has "tags" that are not an object of texts'),
        (GOOD[:-1] + ', "tags": {"n": 1}}', 'has "tags" that are not an object of texts'),
    ],
)
def test_a_malformed_row_names_file_line_problem_and_a_right_row(tmp_path: Path, row: str, problem: str):
    path = tmp_path / "rows.jsonl"
    path.write_text(f"{GOOD}\n{row}\n{GOOD}\n")
    with pytest.raises(DataError) as caught:
        read_conversations(path)
    message = str(caught.value)
    assert message.startswith(f"{path}, line 2: ")
    assert problem in message
    assert (
        '{"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}' in message
    )


def test_a_line_that_is_not_utf8_is_named(tmp_path: Path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(f"{GOOD}\n".encode() + turns(("user", "x"), ("assistant", "y")).encode()[:-3] + b"\xff}")
    with pytest.raises(DataError, match=r"line 2: is not UTF-8 text \(byte \d+"):
        read_conversations(path)


@pytest.mark.parametrize("content", [b"", b"\n \n"])
def test_an_empty_file_is_an_error(tmp_path: Path, content: bytes):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataError, match="is empty"):
        read_conversations(path)


def test_missing_and_damaged_files_are_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"nowhere\.jsonl does not exist"):
        read_conversations(tmp_path / "nowhere.jsonl")
    with pytest.raises(DataError, match="cannot be read"):
        read_conversations(tmp_path)
    damaged = tmp_path / "cut.jsonl.gz"
    damaged.write_bytes(gzip.compress(f"{GOOD}\n".encode())[:-12])
    with pytest.raises(DataError, match=r"cut\.jsonl\.gz is not a whole gzip file"):
        read_conversations(damaged)
    damaged.write_text(GOOD)
    with pytest.raises(DataError, match=r"cut\.jsonl\.gz is not a whole gzip file"):
        read_conversations(damaged)
