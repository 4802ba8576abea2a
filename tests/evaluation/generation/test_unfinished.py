import pytest

from narrows.errors import DataError, RunFolderError
from narrows.evaluation.generation.unfinished import Unfinished, unfinished_file


def test_answers_are_found_again_and_a_line_that_was_cut_short_is_dropped(tmp_path):
    path = unfinished_file(tmp_path / "runs" / "answers.jsonl")
    Unfinished(path).add({"a": "peace\nand “quiet”", "b": ""})
    whole = path.read_bytes()
    Unfinished(path).add({"c": "torn"})
    for cut in range(len(whole) + 1, len(path.read_bytes())):
        path.write_bytes(path.read_bytes()[:cut])
        found = Unfinished(path)
        assert (found.get("a"), found.get("b"), found.get("c")) == ("peace\nand “quiet”", "", None)
        assert path.read_bytes() == whole
        found.add({"c": "torn"})
    assert Unfinished(path).get("c") == "torn"


@pytest.mark.parametrize("line", ["nonsense", '{"key": "a"}', '{"key": "a", "text": 3}', "[1]"])
def test_a_file_of_something_else_is_refused_with_its_line(tmp_path, line):
    path = tmp_path / "x"
    path.write_text('{"key": "a", "text": "b"}\n' + line + "\n")
    with pytest.raises(DataError, match=r"x, line 2: .*Delete the file"):
        Unfinished(path)


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="cannot be"):
        Unfinished(tmp_path / "file" / "x").add({"a": "b"})
