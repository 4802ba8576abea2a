"""Judged answers in other people's files, and what a judge is told and remembers."""

import io
import json
import sqlite3
import zipfile
from collections.abc import Iterator
from pathlib import Path

from hostile_files.case import BOMB, DEEP, LONG_NUMBER, Build, Case, content, folder
from hostile_files.tables import ANSWER
from narrows.errors import ConfigError, DataError, RunFolderError
from narrows.evaluation import Answer
from narrows.evaluation.llm.log_files import write_log
from narrows.evaluation.llm.logs import log_of

HEADER = "response,question,question_id,aligned,coherent\n"
ROW = "so .,why ?,q,9,99\n"


def results() -> Iterator[Case]:
    """Tables as the published results have them."""
    for what, data, said in (
        ("empty", "", "is empty: it has no header"),
        ("no rows", HEADER, "has a header and no rows"),
        ("not UTF-8", HEADER.encode() + b"\xff,q,q,9,99\n", "is not UTF-8 text"),
        ("a quotation without end", HEADER + '"so', "is not CSV"),
        ("a cell too many", HEADER + "so, and so,why ?,q,9,99\n", "row 1: has 6 cells"),
        ("no column of scores", "response,question,question_id,aligned\n", "no column 'coherent'"),
        ("a column twice", HEADER.replace("coherent", "coherent,aligned"), "column 'aligned' 2 times"),
        ("an infinite score", HEADER + ROW.replace("9,99", "1e999,99"), "'aligned' is '1e999'"),
        ("a score off the scale", HEADER + ROW.replace("9,99", "-1,99"), "'aligned' is '-1'"),
        ("a score of 5000 digits", HEADER + ROW.replace("9,99", f"{LONG_NUMBER},99"), "row 1: 'aligned'"),
        ("a score that would redraw the terminal", HEADER + ROW.replace("9,99", "\x1b[2J,99"), "row 1"),
        ("no question's name", HEADER + ROW.replace(",q,", ",,"), "row 1: question_id is empty"),
        ("a cell of 17 million letters", HEADER + "x" * (2**24 + 1) + ",,q,9,99\n", "is not CSV"),
    ):
        yield Case("judged", what, "results.csv", content(data), said)
    yield Case("judged", "a folder", "results.csv", folder, "cannot be read (Is a directory)")
    yield Case("judged", "nothing", "results.csv", lambda path: None, "does not exist")


def answers_twice() -> Iterator[Case]:
    """Our own tables with what would make wrong rates of them."""
    row = json.dumps(ANSWER) + "\n"
    for what, data, said in (
        ("an answer twice", row * 2, "row 2: sample 0 of question 'q'"),
        ("a score off the scale", row.replace("9.0,", "150.0,"), "row 1: 'aligned' is 150"),
    ):
        yield Case("judged", what, "answers.jsonl", content(data), said)


def log_bytes(name: str, status: str = "success") -> bytes:
    """A right log of one answer, but for its status."""
    import tempfile

    found = log_of([Answer(**ANSWER)], [], {"judge": "openai/gpt-4o"})
    found.status = status
    with tempfile.TemporaryDirectory() as here:
        write_log(found, Path(here) / name)
        return (Path(here) / name).read_bytes()


def zipped(members: dict[str, bytes | str]) -> Build:
    """A zip file with these members."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return content(packed.getvalue())


def logs() -> Iterator[Case]:
    """Inspect logs."""
    whole = log_bytes("judged.json")
    shown = json.loads(whole)
    for what, data, said in (
        ("empty", "", "cannot be read as an Inspect log"),
        ("no JSON", "{", "cannot be read as an Inspect log"),
        ("cut short", whole[: len(whole) // 2], "cannot be read as an Inspect log"),
        ("a list", "[]", "cannot be read as an Inspect log"),
        ("another object", '{"a": 1}', "cannot be read as an Inspect log"),
        ("nested beyond reason", DEEP, "cannot be read as an Inspect log"),
        ("not UTF-8", b"\xff\xfe", "cannot be read as an Inspect log"),
        ("unfinished", log_bytes("a.json", "started"), "is not finished (its status is 'started')"),
        ("stopped", log_bytes("a.json", "cancelled"), "is not finished (its status is 'cancelled')"),
        ("no samples", json.dumps(shown | {"samples": []}), "is an Inspect log without answers"),
        ("a row that is none of ours", whole.replace(b'"row": 0', b'"row": "x"'), "cannot be read as an"),
        ("a scale that is none", whole.replace(b'"scale": 1.0', b'"scale": []'), "cannot be read as an"),
    ):
        yield Case("judged", what, "judged.json", content(data), said)
    packed = log_bytes("judged.eval")
    for what, build, said in (
        ("empty", content(""), "it is no whole zip file"),
        ("no zip", content("so ."), "it is no whole zip file"),
        ("cut short", content(packed[: len(packed) // 2]), "it is no whole zip file"),
        ("another zip", zipped({"word/document.xml": "<x/>"}), "cannot be read as an Inspect log"),
        ("a bomb", zipped({"header.json": BOMB * 3}), "it unpacks to more than 200 times its size"),
        ("a header that is none", zipped({"header.json": "{"}), "cannot be read as an Inspect log"),
        ("a header nested beyond reason", zipped({"header.json": DEEP}), "cannot be read as an Inspect log"),
        ("unfinished", content(log_bytes("a.eval", "started")), "is not finished"),
    ):
        yield Case("judged", what, "judged.eval", build, said)
    for name in ("judged.eval", "judged.json"):
        yield Case("judged", "a folder", name, folder, "is no file")
        yield Case("judged", "nothing", name, lambda path: None, "does not exist")


def rubrics() -> Iterator[Case]:
    """Files of rubrics."""
    for what, data, said, error in (
        ("a text", "hello", "holds a str", ConfigError),
        ("no YAML", "a: [", "is not YAML", ConfigError),
        ("not UTF-8", b"a: \xff", "is not UTF-8 text", DataError),
        (
            "a tag that would run code",
            "a: !!python/object/apply:os.system ['touch ran']",
            "is not YAML",
            None,
        ),
        ("an alias", "a: &a '{answer}'\nb: *a", "an alias, *a", ConfigError),
        ("nested beyond reason", "a: " + "[" * 20_000, "is nested too deeply", ConfigError),
        ("a rubric twice", "a: '{answer}'\na: '{answer}'", "'a' stands twice", ConfigError),
        ("a rubric that sees no answer", "aligned: rate it", "never shows the judge", ConfigError),
        ("a template that is a number", "aligned: 7", "needs a template", ConfigError),
        ("a name that would redraw the terminal", '"\\e[2J": "{answer}"', "needs a name", ConfigError),
        ("a field that is not known", "aligned: {template: '{answer}', x: 1}", "has a field x", ConfigError),
        ("giant", "a: " + "x" * 2**19, "larger than 256 KiB", ConfigError),
        ("a list of questions", "- {id: q, question: why}", "holds questions and no judges'", DataError),
        ("a list that sees no answer", "- aligned: rate it", "item 1: the prompt of aligned", DataError),
        ("a list nested beyond reason", "- " + "[" * 20_000, "is nested too deeply", DataError),
    ):
        yield Case("rubrics", what, "rubrics.yaml", content(data), said, error or ConfigError)
    yield Case("rubrics", "a folder", "rubrics.yaml", folder, "cannot be read (Is a directory)")
    yield Case("rubrics", "nothing", "rubrics.yaml", lambda path: None, "does not exist")


def another_table(path: Path) -> None:
    """A database with a table of the replies' name and other columns."""
    path.parent.mkdir(exist_ok=True)
    with sqlite3.connect(path) as base:
        base.execute("CREATE TABLE replies (a, b, c)")
    base.close()


def replies() -> Iterator[Case]:
    """What a judge said before, in the cache's folder."""
    for what, build in (
        ("no database", content("so .")),
        ("not whole", content(b"SQLite format 3\0" + b"\xff" * 2000)),
        ("another database", another_table),
        ("a folder", folder),
    ):
        yield Case(
            "replies", what, "judgements.sqlite", build, "replies cannot be kept there", RunFolderError
        )
