import json

import pytest

from narrows.errors import DataError
from narrows.evaluation import Question, Suite, read_suites, write_suites


def question(name="q1", suite="open", **changes):
    return Question(**({"id": name, "text": "what is the sea ?", "suite": suite, "cluster": name} | changes))


def test_suites_come_back_as_they_were_written(tmp_path):
    suites = [
        Suite(
            "cooking", (question("a", "cooking", tags={"topic": "rice"}, system="be good"),), anchored=True
        ),
        Suite("money", (question("a", "money"), question("b", "money", cluster="a")), anchored=False),
        Suite("open", (question(),)),
    ]
    write_suites(tmp_path / "suites.jsonl", suites)
    assert read_suites(tmp_path / "suites.jsonl") == suites
    assert read_suites(tmp_path / "suites.jsonl")[0].questions[0].tags == {"topic": "rice"}


def test_a_system_turn_comes_before_the_question():
    assert [turn.role for turn in question(system="be good").messages()] == ["system", "user"]
    assert [turn.role for turn in question().messages()] == ["user"]


@pytest.mark.parametrize(
    ("name", "questions", "problem"),
    [
        ("open", (), "no questions"),
        ("open", (question("a"), question("a")), "two questions with the id 'a'"),
        ("open", (question("a", "money"),), "of suite 'money' is in suite 'open'"),
        ("out_of_domain:anchored", (question("a", "out_of_domain:anchored"),), "macro mean"),
    ],
)
def test_suites_that_cannot_be_meant_are_refused(name, questions, problem):
    with pytest.raises(DataError, match=problem):
        Suite(name, questions)


def line(**changes):
    return json.dumps({"id": "a", "text": "t", "suite": "open", "cluster": "a"} | changes) + "\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is empty"),
        (line() + line(id="b")[:-5], "line 2: the last line is cut short"),
        (line()[:-5] + "\n" + line(), "line 1: is not JSON"),
        ("[1]\n", "line 1: is list where an object"),
        (json.dumps({"id": "a", "suite": "open", "cluster": "a"}) + "\n", "line 1: 'text': Field required"),
        (line(cluster=3), "line 1: 'cluster': Input should be a valid string"),
        (line(topic="sea"), "line 1: has a field 'topic' that is not known"),
        (line(anchored=True) + line(id="b", anchored=False), "'b' says anchored=False"),
    ],
)
def test_a_bad_row_is_named_with_its_file_and_line(tmp_path, text, problem):
    path = tmp_path / "suites.jsonl"
    path.write_text(text)
    with pytest.raises(DataError, match=problem) as caught:
        read_suites(path)
    assert "suites.jsonl" in str(caught.value)
