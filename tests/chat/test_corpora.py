import gzip
import json

import datasets
import pytest

from narrows.chat.corpora import FINEWEB, read_texts
from narrows.errors import ConfigError, DataError


def test_plain_texts_stand_with_an_empty_line_between(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("one\nmore of one\n\n\n two\r\n\r\nthree\n")
    assert read_texts(path, shortest=0) == {"text": ["one\nmore of one", "two", "three"]}


@pytest.mark.parametrize("name", ["texts.jsonl", "texts.jsonl.gz"])
def test_texts_have_types_in_jsonl_and_other_fields_do_no_harm(tmp_path, name):
    rows = [{"text": "a", "type": "news", "url": "x"}, {"text": "b"}, {"text": "c", "type": "news"}]
    data = "\n".join(map(json.dumps, rows)).encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    assert read_texts(path, shortest=0) == {"news": ["a", "c"], "text": ["b"]}
    assert read_texts(path, shortest=0, count=1) == {"news": ["a"], "text": ["b"]}


def test_the_papers_filters_pass_over_short_texts_and_cut_long_ones(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("\n\n".join(["x" * 100, "y" * 101, "z" * 5000]))
    assert [len(text) for text in read_texts(path)["text"]] == [101, 2000]


def test_a_dataset_on_the_hub_is_streamed_no_further_than_needed(monkeypatch):
    read, asked = [], []

    def load(path, *, name, split, streaming):
        asked.append((path, name, split, streaming))
        for number in range(1000):
            read.append(number)
            yield {"text": "a" * (50 if number % 2 else 150)}

    monkeypatch.setattr(datasets, "load_dataset", load)
    assert len(read_texts(count=5)["text"]) == 5
    assert asked == [("HuggingFaceFW/fineweb", "sample-10BT", "train", True)]
    assert len(read) < 12
    with pytest.raises(ConfigError, match="give the number of texts"):
        read_texts(count=None)


def test_an_offline_machine_is_told_which_file_to_give():
    with pytest.raises(DataError, match=r"fineweb.* cannot be read from the hub: .*\.txt\)"):
        read_texts(FINEWEB)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b'{"txt": "a"}\n', 'line 1: has no "text"'),
        (b'{"text": "a", "type": 3}\n', 'a "type" that is no text'),
        (b'{"text": "a"}\n{"te', "line 2: is not JSON"),
        (b"\n", "has no text of more than 100"),
        (b"\xff\xfe", "UTF-8"),
    ],
)
def test_a_malformed_file_is_refused_by_line(tmp_path, content, problem):
    path = tmp_path / "texts.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataError, match=problem):
        read_texts(path)


def test_a_gzip_cut_short_or_missing_is_refused(tmp_path):
    path = tmp_path / "texts.jsonl.gz"
    with pytest.raises(DataError, match="does not exist"):
        read_texts(path)
    path.write_bytes(gzip.compress(b'{"text": "a"}\n')[:-6])
    with pytest.raises(DataError, match="not a whole gzip file"):
        read_texts(path)
