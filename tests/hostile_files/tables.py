"""Configurations, suites and answers tables."""

import json
from collections.abc import Iterator

from hostile_files.case import LONG_NUMBER, Case, content, folder, lines_cases
from narrows.errors import ConfigError

LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{after}: &{after} [*{before}, *{before}, *{before}, *{before}, *{before}, *{before}, *{before}]\n"
    for before, after in zip("abcdefghijklm", "bcdefghijklmn", strict=True)
)


def configs() -> Iterator[Case]:
    """YAML files, of recipes and of worlds."""
    for kind, field in (("recipe", "learning_rate"), ("world", "name")):
        for what, data, said in (
            ("a list", "- 1", "holds a list"),
            ("a text", "hello", "holds a str"),
            ("no YAML", "a: [", "is not YAML"),
            ("not UTF-8", b"a: \xff", "is not YAML"),
            ("NUL bytes", "a: \0", "is not YAML"),
            ("a tag that would run code", "a: !!python/object/apply:os.system ['true']", "is not YAML"),
            ("a tag that would make an object", "!!python/object:pathlib.Path {}", "is not YAML"),
            ("a billion laughs", LAUGHS, "an alias, *a"),
            ("a loop", "a: &a [*a]", "an alias, *a"),
            ("merged keys", "a: &a {b: 1}\nc: {<<: *a}", "an alias, *a"),
            ("nested beyond reason", "a: " + "[" * 20_000, "is nested too deeply"),
            ("a number of 5000 digits", f"{field}: {LONG_NUMBER}", "is not YAML"),
            ("no such day", f"{field}: 2026-99-99", "is not YAML"),
            ("a key that is no text", "? [a]\n: 1", "is not YAML"),
            ("a key that stands twice", f"{field}: 1\n{field}: 2", f"'{field}' stands twice in one mapping"),
            ("a key that is a number", "1: 2", "is no name of a field"),
            ("a mebibyte", f"{field}: " + "x" * 2**20, "larger than 256 KiB"),
            ("a field that is not known", "nothing: 1", "nothing"),
            ("a value of a hundred thousand letters", f"{field}: [{'x' * 2**17}]", field),
        ):
            yield Case(kind, what, "config.yaml", content(data), said, ConfigError)
        yield Case(kind, "a folder", "config.yaml", folder, "cannot be read (Is a directory)", ConfigError)
        yield Case(kind, "nothing", "config.yaml", lambda path: None, "does not exist", ConfigError)


def personas() -> Iterator[Case]:
    """Personas: lists of system turns."""
    for what, data, said in (
        ("a list", "- a", "holds a list"),
        (
            "turns that are a text",
            "positive: be bad\nnegative: [be good]",
            "positive must be a list of texts",
        ),
        ("a turn that is a number", "positive: [a]\nnegative: [7]", "negative must be a list of texts"),
        ("a field that is not known", "positive: [a]\nnegative: [b]\nx: 1", "'x' is not known"),
        ("no turns", "positive: [a]\nnegative: []", "at least one negative system turn"),
        ("a blank turn", "positive: ['']\nnegative: [b]", "at least one positive system turn"),
    ):
        yield Case("persona", what, "persona.yaml", content(data), said, ConfigError)


QUESTION = {"id": "q", "text": "why ?", "suite": "open", "cluster": "q", "tags": {}, "system": None}
ANSWER = {
    "model": "tiny",
    "adapter": "chat",
    "scale": 1.0,
    "suite": "open",
    "question_id": "q",
    "cluster": "q",
    "question": "why ?",
    "sample": 0,
    "text": "so .",
    "seed": 0,
    "scores": {"aligned": 9.0, "coherent": 99.0},
}


def tables() -> Iterator[Case]:
    """Suites and answers tables."""
    for kind, name, row in (("suites", "suites.jsonl", QUESTION), ("answers", "answers.jsonl", ANSWER)):
        yield from lines_cases(kind, name, "is empty")
        text = json.dumps(row)
        for what, lines, said in (
            ("cut short", text[:-9], "the last line is cut short"),
            ("a field that is not known", text[:-1] + ', "\\u001b[2J": 1}', "that is not known"),
            ("a field that is missing", text.replace('"suite": "open", ', ""), "'suite': Field required"),
            ("a text that is a number", text.replace('"why ?"', "7"), "should be a valid string"),
            ("half a character", text.replace("why ?", "\\ud800"), "line 1"),
        ):
            yield Case(kind, what, name, content(lines + ("" if what == "cut short" else "\n")), said)
    twice = json.dumps(QUESTION) + "\n"
    yield Case("suites", "one id twice", "suites.jsonl", content(twice * 2), "two questions with the id 'q'")
    mean = json.dumps(QUESTION | {"suite": "out_of_domain"})
    yield Case("suites", "a mean's name", "suites.jsonl", content(mean + "\n"), "cannot be called")
    for what, changed, said in (
        ("an infinite score", json.dumps(ANSWER).replace("9.0,", "1e999,"), "beyond all numbers"),
        ("a score that is no number", json.dumps(ANSWER).replace("9.0,", "NaN,"), "NaN is no number"),
        ("a score that is a text", json.dumps(ANSWER).replace("9.0,", '"9",'), "valid number"),
    ):
        yield Case("answers", what, "answers.jsonl", content(changed + "\n"), said)
    yield Case("questions", "neither rows nor suites", "q.jsonl", content("{}\n"), "neither suites nor rows")
