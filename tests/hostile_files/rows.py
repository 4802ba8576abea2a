"""Rows and texts: JSONL, gzip, parquet and zips."""

import gzip
import io
import stat
import zipfile
from collections.abc import Callable, Iterator

import pyarrow
import pyarrow.parquet
from easy_dataset_share.zipping import encrypt_data_in_memory

from hostile_files.case import BOMB, ROW, ROWS, Build, Case, content, folder, lines_cases


def zipped(members: dict[str, bytes], change: Callable[[zipfile.ZipInfo], None] | None = None) -> bytes:
    """A zip in memory."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, data in members.items():
            info = zipfile.ZipInfo(member)
            info.compress_type = zipfile.ZIP_DEFLATED
            if change:
                change(info)
            archive.writestr(info, data)
    return buffer.getvalue()


def as_link(info: zipfile.ZipInfo) -> None:
    """Make a member a symbolic link."""
    info.external_attr = (stat.S_IFLNK | 0o777) << 16


def declared(size: int) -> bytes:
    """A zip bomb whose directory says that it unpacks to ``size`` bytes."""
    data = zipped({"rows.jsonl": BOMB})
    return data.replace(len(BOMB).to_bytes(4, "little"), size.to_bytes(4, "little"))


def bzipped() -> bytes:
    """A zip packed by bzip2, which packs nothing much to nothing at all."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("rows.jsonl", BOMB)
    return buffer.getvalue()


GOOD_ZIP = zipped({"rows.jsonl": ROWS.encode() * 50})


def spoilt(data: bytes, *places: int) -> bytes:
    """The same bytes, some of them turned round."""
    changed = bytearray(data)
    for place in places:
        changed[place] ^= 255
    return bytes(changed)


def encrypted(member: bytes) -> bytes:
    """A zip whose member claims a password of its own."""
    data = zipped({"rows.jsonl": member})
    local, central = data.index(b"PK\3\4") + 6, data.index(b"PK\1\2") + 8
    changed = bytearray(data)
    changed[local] |= 1
    changed[central] |= 1
    return bytes(changed)


def parquet(**columns: list[object]) -> Build:
    """A parquet file."""
    return lambda path: pyarrow.parquet.write_table(pyarrow.table(columns), path)


def lines_of_messages() -> Iterator[Case]:
    """Files of rows."""
    yield from lines_cases("rows", "rows.jsonl", "is empty")
    yield from lines_cases("one side", "side.jsonl", "is empty")
    for what, row, said in (
        ("half a character", ROW.replace("so .", "\\ud800"), "lone surrogate"),
        ("half a character in a tag", ROW[:-1] + ', "tags": {"a": "\\udfff"}}', "lone surrogate"),
        (
            "a role that would redraw the terminal",
            ROW.replace("user", "\\u001b[2J"),
            "unknown role '\\x1b[2J'",
        ),
        ("a role of a million letters", ROW.replace("user", "u" * 10**6), "unknown role 'uuu"),
        ("a prompt that is a number", '{"prompt": 1, "completion": "b"}', "where text was expected"),
        ("a completion of nothing", '{"prompt": "a", "completion": []}', "ends with a user message"),
        ("messages that are a text", '{"messages": "hello"}', "where a list of turns was expected"),
    ):
        yield Case("rows", what, "rows.jsonl", content(f"{ROW}\n{row}\n"), said)
    packed = gzip.compress(ROWS.encode() * 50)
    yield Case("rows", "cut short", "rows.jsonl.gz", content(packed[:-9]), "is not a whole gzip file")
    yield Case("rows", "damaged", "rows.jsonl.gz", content(spoilt(packed, 30)), "is not a whole gzip file")
    yield Case("rows", "no gzip", "rows.jsonl.gz", content(ROWS), "is not a whole gzip file")
    yield Case(
        "rows", "a bomb", "rows.jsonl.gz", content(gzip.compress(BOMB)), "unpacks to more than 200 times"
    )
    blank = gzip.compress(b"\n" * (6 * 2**20))
    yield Case(
        "rows", "a bomb of blank lines", "rows.jsonl.gz", content(blank), "unpacks to more than 200 times"
    )
    yield Case("rows", "a folder", "rows.jsonl.gz", folder, "cannot be read (Is a directory)")


def other_rows() -> Iterator[Case]:
    """Parquet files and zips of rows."""
    yield Case("rows", "no parquet", "rows.parquet", content(ROWS), "cannot be read as parquet")
    yield Case("rows", "empty", "rows.parquet", content(""), "cannot be read as parquet")
    yield Case("rows", "a folder", "rows.parquet", folder, "cannot be read (Is a directory)")
    yield Case("rows", "wrong columns", "rows.parquet", parquet(text=["a"]), 'row 1: has no "messages"')
    yield Case("rows", "columns of numbers", "rows.parquet", parquet(messages=[1]), "where a list of turns")
    yield Case("rows", "no rows", "rows.parquet", parquet(messages=[]), "is empty")
    for what, data, said in (
        ("no zip", ROWS.encode(), "is not a whole zip"),
        ("empty", b"", "is not a whole zip"),
        ("cut short", GOOD_ZIP[:-20], "is not a whole zip"),
        ("damaged data", spoilt(GOOD_ZIP, 60, 61, 62), "is not a whole zip"),
        ("damaged directory", spoilt(GOOD_ZIP, GOOD_ZIP.index(b"PK\1\2") + 42), "is not a whole zip"),
        ("a name that is no UTF-8", zipped({"ü.jsonl": b""}).replace("ü".encode(), b"\xff\xff"), "whole zip"),
        (
            "a member without a name",
            zipped({"a.jsonl": b""}).replace(b"a.jsonl", b"\0.jsonl"),
            "is not a whole zip",
        ),
        (
            "a path out of it",
            zipped({"rows.jsonl": b"", "../x.jsonl": b""}),
            "a path that leaves the archive",
        ),
        ("a symbolic link", zipped({"rows.jsonl": b"/etc/passwd"}, as_link), "a symbolic link"),
        ("a bomb", zipped({"rows.jsonl": BOMB}), "unpacks to more than 200 times its size"),
        ("a bomb by bzip2", bzipped(), "unpacks to more than 200 times its size"),
        ("a bomb that is declared small", declared(40), "is not a whole zip (Bad CRC-32"),
        ("a bomb beyond all limits", declared(2**32 - 2), "unpacks to more than 2 GiB"),
        ("a password of its own", encrypted(ROWS.encode()), "has a password of its own"),
        ("several files", zipped({"a.jsonl": b"", "b.jsonl": b""}), "several files match"),
        ("no rows in it", zipped({"a.txt": b""}), "no file matches"),
        ("rows that are none", zipped({"a.jsonl": b"{}\n"}), "a.jsonl, line 1: has no"),
    ):
        yield Case("rows", what, "rows.zip", content(data), said)
    yield Case("rows", "a folder", "rows.zip", folder, "cannot be read (Is a directory)")
    shut = encrypt_data_in_memory(GOOD_ZIP, "sesame")
    for what, data, said in (
        ("another password", encrypt_data_in_memory(GOOD_ZIP, "open"), "cannot be decrypted"),
        ("cut short", shut[:-20], "cannot be decrypted"),
        ("nearly empty", shut[:7], "cannot be decrypted"),
        ("empty", b"", "cannot be decrypted"),
        ("no zip inside", encrypt_data_in_memory(b"nothing", "sesame"), "is not a whole zip"),
        ("a bomb inside", encrypt_data_in_memory(zipped({"a.jsonl": BOMB}), "sesame"), "200 times its size"),
    ):
        yield Case("rows", what, "rows.zip.enc", content(data), said)
    yield Case("rows", "a folder", "rows.zip.enc", folder, "cannot be read (Is a directory)")


def texts() -> Iterator[Case]:
    """Plain texts, for significance and as an anchor."""
    for kind in ("texts", "anchor"):
        yield Case(kind, "empty", "texts.txt", content(""), "has no text of more than")
        yield Case(kind, "not UTF-8", "texts.txt", content(b"a\xff"), "is not UTF-8 text (byte 1)")
        yield Case(kind, "a folder", "texts.txt", folder, "cannot be read (Is a directory)")
        yield Case(kind, "nothing", "texts.txt", lambda path: None, "does not exist")
    for case in lines_cases("texts", "texts.jsonl", "has no text of more than"):
        yield (
            case if case.id != "a list" else Case(case.kind, case.id, case.name, case.build, 'has no "text"')
        )
    for what, row, said in (
        ("text that is a number", '{"text": 7}', 'has no "text"'),
        ("a type that is a list", '{"text": "a", "type": []}', 'a "type" that is no text'),
        ("half a character", '{"text": "\\ud800"}', "lone surrogate"),
    ):
        yield Case("texts", what, "texts.jsonl", content(row), said)
    yield Case(
        "texts", "a bomb", "t.jsonl.gz", content(gzip.compress(BOMB)), "unpacks to more than 200 times"
    )
