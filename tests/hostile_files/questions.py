"""What an evaluation asks: the field's YAML files, and chats whose first turns are questions."""

import gzip
import json
from collections.abc import Iterator

from hostile_files.case import BOMB, LONG_NUMBER, ROW, Case, content, folder

ITEM = "- id: q\n  type: free_form_judge_0_100\n  paraphrases: {}\n"
PLAIN = ITEM.format("[why]")
LAUGHS = ITEM.format("&b0 [why, why]") + "".join(
    f"- &b{n} [{', '.join([f'*b{n - 1}'] * 9)}]\n" for n in range(1, 30)
)
MERGES = "- &m0 {id: q}\n" + "".join(f"- &m{n} {{<<: [*m{n - 1}, *m{n - 1}]}}\n" for n in range(1, 60))
WIDE = f"- id: q\n  type: &long {'x' * 2**16}\n  paraphrases: [{', '.join(['*long'] * 1000)}]\n"
CHAIN = "- &c0 x\n" + "".join(f"- &c{n} [*c{n - 1}]\n" for n in range(1, 3000))


def protocols() -> Iterator[Case]:
    """YAML files of questions and judges' prompts."""
    for what, data, said in (
        ("empty", "", "holds nothing where a list was expected"),
        ("no items", "[]", "is empty: its list has no items"),
        ("a mapping", "id: q", "holds a dict where a list was expected"),
        ("a text", "why ?", "holds a str where a list was expected"),
        ("no YAML", "- [", "is not YAML"),
        ("two documents", "- id: q\n---\n- id: r\n", "is not YAML"),
        ("not UTF-8", b"- id: \xff\n", "is not YAML"),
        ("NUL bytes", "- id: \0\n", "is not YAML"),
        ("a tag that would run code", "- !!python/object/apply:os.system ['touch ran']", "is not YAML"),
        ("a tag that would make an object", "- !!python/object:pathlib.Path {}", "is not YAML"),
        ("a billion laughs", LAUGHS, "with its aliases written out it is larger than 4,096 KiB"),
        ("a billion merged keys", MERGES, "with its aliases written out it is larger than 4,096 KiB"),
        ("a long text a thousand times", WIDE, "with its aliases written out it is larger than 4,096 KiB"),
        ("a chain of three thousand aliases", CHAIN, "with its aliases written out it is larger"),
        ("a loop", "- &a [*a]", "an alias that stands in itself"),
        ("an alias of nothing", PLAIN + "- *nothing\n", "is not YAML (found undefined alias"),
        ("nested beyond reason", "- " + "[" * 20_000, "is nested too deeply"),
        ("a number of 5000 digits", f"- id: {LONG_NUMBER}", "is not YAML"),
        ("no such day", "- id: 2026-99-99", "is not YAML"),
        ("giant", "- " + "x" * 2**21, "is not YAML (it is larger than 512 KiB)"),
        ("an item that is a list", PLAIN + "- [why]\n", "item 2: is a list where names"),
        ("an id twice", PLAIN * 2, "item 2 (q): has the id of item 1"),
        ("a field twice", PLAIN + "  id: r\n", "'id' stands twice in one mapping"),
        ("a field that is missing", "- type: free_form\n  id: q\n", "item 1 (q): has no 'paraphrases'"),
        ("paraphrases that are a mapping", ITEM.format("{a: b}"), "'paraphrases' is {'a': 'b'}"),
        ("an id that would redraw the terminal", '- id: "\\e[2J"\n', "item 1 (\N{REPLACEMENT CHARACTER}[2J)"),
        ("an id of a hundred thousand letters", f"- id: {'x' * 10**5}\n", "x…): has an 'id' but neither"),
        ("a prompt that sees no answer", "- aligned: rate it\n", "item 1: the prompt of aligned has no"),
        ("a score from the middle", "- a: '{answer}'\n  high_score: 7\n", "item 1: 'high_score' is 7"),
        ("prompts alone", "- a: '{answer}'\n", "holds judges' prompts and no questions to ask"),
    ):
        yield Case("protocol", what, "questions.yaml", content(data), said)
    yield Case("protocol", "a folder", "questions.yaml", folder, "cannot be read (Is a directory)")
    yield Case("protocol", "nothing", "questions.yaml", lambda path: None, "does not exist")


def chats() -> Iterator[Case]:
    """Chats that are asked."""
    unanswered = json.dumps({"messages": [{"role": "user", "content": "why ?"}]})
    for what, row, said in (
        ("a row that is none", "{}", 'line 2: has no "messages"'),
        ("a row without an answer", unanswered, "line 2: ends with a user message"),
        ("a row of half a character", ROW.replace("why ?", "\\ud800"), "line 2: message 1"),
    ):
        yield Case("protocol", what, "held-out.jsonl", content(f"{ROW}\n{row}\n"), said)
    packed = content(gzip.compress(BOMB))
    yield Case("protocol", "a bomb", "held-out.jsonl.gz", packed, "unpacks to more than 200 times")
    yield Case("protocol", "no name of anything", "opne", lambda path: None, "is neither a file nor a suite")
