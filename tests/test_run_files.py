import errno
import os
import threading
from pathlib import Path

import pytest

from narrows import files
from narrows.errors import RunFolderError
from narrows.files import (
    atomic_path,
    claim_run_folder,
    digest,
    file_digest,
    read_json,
    write_json,
    write_jsonl,
    write_text,
)

IDENTITY = {"kind": "training", "recipe": {"seed": 0, "layer": 1}, "rows": "abc"}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole_with_its_folder(tmp_path: Path):
    write_text(tmp_path / "new" / "a.txt", "λ\n")
    assert (tmp_path / "new" / "a.txt").read_bytes() == "λ\n".encode()
    assert names(tmp_path / "new") == ["a.txt"]


@pytest.mark.parametrize("error", [RuntimeError("no"), KeyboardInterrupt(), OSError(errno.EIO, "I/O error")])
def test_a_write_that_fails_keeps_the_old_file_and_leaves_no_other(tmp_path: Path, error: BaseException):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    wanted = RunFolderError if isinstance(error, OSError) else type(error)
    with pytest.raises(wanted), atomic_path(path) as temporary:
        temporary.write_text("half")
        assert path.read_text() == "old"
        raise error
    assert (path.read_text(), names(tmp_path)) == ("old", ["a.txt"])


@pytest.mark.parametrize(
    ("number", "message"),
    [(errno.ENOSPC, "disk is full.*run the same command again"), (errno.EROFS, "Read-only")],
)
def test_a_disk_that_refuses_is_named_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, message: str
):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def refuse(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files.os, "fsync", refuse)
    with pytest.raises(RunFolderError, match=rf"a\.txt: .*{message}"):
        write_text(path, "new")
    assert (path.read_text(), names(tmp_path)) == ("old", ["a.txt"])


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path):
    path = tmp_path / "a.txt"
    with atomic_path(path) as one, atomic_path(path) as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
    assert (path.read_text(), names(tmp_path)) == ("one", ["a.txt"])


def test_json_comes_back_and_not_a_number_is_refused(tmp_path: Path):
    write_json(tmp_path / "a.json", {"λ": [1.5, None]})
    assert read_json(tmp_path / "a.json") == {"λ": [1.5, None]}
    write_jsonl(tmp_path / "a.jsonl", [{"a": 1}, {"b": "ü"}])
    assert (tmp_path / "a.jsonl").read_text(encoding="utf-8") == '{"a": 1}\n{"b": "ü"}\n'
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(tmp_path / "a.json", float("nan"))
    assert read_json(tmp_path / "a.json") == {"λ": [1.5, None]}


def test_equal_values_have_equal_digests(tmp_path: Path):
    assert digest({"a": 1, "b": (1, 2)}) == digest({"b": [1, 2], "a": 1})
    assert digest({"a": 1}) != digest({"a": 1.5})
    write_text(tmp_path / "a", "text")
    assert file_digest(tmp_path / "a") == digest(b"text")
    assert len(digest(b"text")) == 16


# Run folders


def test_a_folder_is_claimed_and_found_again(tmp_path: Path):
    folder = claim_run_folder(tmp_path / "runs" / "one", IDENTITY)
    assert read_json(folder / "run.json") == IDENTITY
    (folder / "checkpoints").mkdir()
    assert claim_run_folder(folder, IDENTITY) == folder
    assert names(folder) == ["checkpoints", "run.json"]


def test_an_identity_need_not_look_as_json_does(tmp_path: Path):
    identity = {"path": Path("a"), "steps": {10: (1, 2), 2: None}}
    for _ in range(2):
        claim_run_folder(tmp_path, identity)


@pytest.mark.parametrize(
    ("identity", "fields"),
    [
        ({**IDENTITY, "rows": "abd"}, "rows differs"),
        ({**IDENTITY, "recipe": {"seed": 1, "layer": 1}}, r"recipe\.seed differs"),
        (
            {**IDENTITY, "recipe": {"seed": 1, "layer": 2}, "kind": "x"},
            r"kind, recipe\.layer, recipe\.seed differ",
        ),
        ({**IDENTITY, "start": None}, "start differs"),
        ({**IDENTITY, "recipe": {"seed": 0}}, r"recipe\.layer differs"),
        ({**IDENTITY, "recipe": None}, "recipe differs"),
    ],
)
def test_another_run_s_folder_is_refused_by_the_fields_that_differ(
    tmp_path: Path, identity: dict[str, object], fields: str
):
    claim_run_folder(tmp_path, IDENTITY)
    with pytest.raises(RunFolderError, match=f"holds another run: {fields}\\. Choose another --out"):
        claim_run_folder(tmp_path, identity)
    assert read_json(tmp_path / "run.json") == IDENTITY


def test_a_folder_with_other_files_is_refused_but_hidden_ones_do_no_harm(tmp_path: Path):
    (tmp_path / ".DS_Store").write_text("")
    claim_run_folder(tmp_path, IDENTITY)
    (tmp_path / "run.json").rename(tmp_path / "thesis.tex")
    with pytest.raises(RunFolderError, match=r"not empty and holds no run\.json"):
        claim_run_folder(tmp_path, IDENTITY)


def test_a_file_is_no_folder(tmp_path: Path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(RunFolderError, match="out is a file"):
        claim_run_folder(tmp_path / "out", IDENTITY)
    with pytest.raises(RunFolderError, match="cannot be written"):
        claim_run_folder(tmp_path / "out" / "run", IDENTITY)
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.parametrize("content", [b"{", b"", b"\xff\xfe"])
def test_an_unreadable_marker_is_named(tmp_path: Path, content: bytes):
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(RunFolderError, match=r"run\.json is not readable JSON.*Choose another"):
        claim_run_folder(tmp_path, IDENTITY)


@pytest.mark.parametrize("same", [True, False])
def test_of_two_that_claim_at_once_only_the_same_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, same: bool
):
    other = IDENTITY if same else {**IDENTITY, "rows": "abd"}
    create = files._create_json

    def create_after_another(path: Path, value: object) -> None:
        create(path, other)
        create(path, value)

    monkeypatch.setattr(files, "_create_json", create_after_another)
    if same:
        claim_run_folder(tmp_path, IDENTITY)
    else:
        with pytest.raises(RunFolderError, match="another run: rows differs"):
            claim_run_folder(tmp_path, IDENTITY)
    assert read_json(tmp_path / "run.json") == other
    assert names(tmp_path) == ["run.json"]


def test_many_threads_claim_a_folder_and_one_run_wins(tmp_path: Path):
    won: list[int] = []

    def claim(number: int) -> None:
        try:
            claim_run_folder(tmp_path / "run", {"number": number})
        except RunFolderError:
            return
        won.append(number)

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won == [read_json(tmp_path / "run" / "run.json")["number"]]


def test_a_file_system_without_hard_links_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(path: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    claim_run_folder(tmp_path, IDENTITY)
    assert names(tmp_path) == ["run.json"]
    assert read_json(tmp_path / "run.json") == IDENTITY
