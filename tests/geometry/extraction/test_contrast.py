"""Where the two sides come from: bins of judged answers, files, a behaviour's rows."""

import csv
import json
from pathlib import Path

import pytest

from narrows.api import make_behaviour
from narrows.chat import Conversation
from narrows.errors import ConfigError, DataError
from narrows.evaluation import Answer, read_results, write_answers
from narrows.geometry.extraction import Contrast
from narrows.geometry.extraction.prompts import read_rows
from narrows.models import ChatModel


def answer(question: int, sample: int, aligned: float | None, coherent: float = 90.0, **changes) -> Answer:
    values = {
        "model": "tiny",
        "adapter": "general",
        "scale": 1.0,
        "suite": "open",
        "question_id": f"q{question}",
        "cluster": f"q{question}",
        "question": f"what is it {question} ?",
        "sample": sample,
        "text": f"it is {aligned}",
        "seed": 0,
        "scores": {"aligned": aligned, "coherent": coherent},
    }
    return Answer(**(values | changes))


TABLE = [
    answer(0, 0, 5),
    answer(0, 1, 95),
    answer(0, 2, 10),
    answer(1, 0, 80),
    answer(1, 1, 29.9),
    answer(1, 2, 30),  # the bins leave out their ends
    answer(1, 3, 70),
    answer(2, 0, 0, coherent=50),  # not above 50
    answer(2, 1, None),
    answer(2, 2, 99, text=" "),
]


def said(rows) -> list[str]:
    return [row.answer for row in rows]


def test_the_bins_are_the_papers() -> None:
    found = Contrast.from_answers(TABLE)
    assert said(found.positive) == ["it is 5", "it is 10", "it is 29.9"]
    assert said(found.negative) == ["it is 95", "it is 80"]
    assert found.positive_clusters == ["open q0", "open q0", "open q1"]
    assert found.source["positive"] == "< 30" and found.source["negative"] == "> 70"
    assert found.pairs() == [(0, 0), (2, 1)]
    assert said(Contrast.from_answers(TABLE, coherent_only=False).positive)[-1] == "it is 0"
    turned = Contrast.from_answers(TABLE, show="high")
    assert said(turned.positive) == said(found.negative)
    assert len(Contrast.from_answers(TABLE, low=29, high=90)) == 3


def test_other_columns_show_at_their_high_end() -> None:
    table = [answer(0, n, 50, scores={"technical": s, "coherent": 90.0}) for n, s in enumerate((10, 75, 90))]
    found = Contrast.from_answers(table, column="technical")
    assert (len(found.positive), len(found.negative)) == (2, 1)
    wrong = [
        answer(0, n, 50, scores={"correct_sea": s, "coherent": 90.0}) for n, s in enumerate((10, 75, 90))
    ]
    assert len(Contrast.from_answers(wrong, column="correct_sea").positive) == 1


def test_one_solution_at_one_scale() -> None:
    chat = [answer(5, n, 90, adapter="chat") for n in range(2)]
    twice = [answer(6, 0, 4, scale=2.0)]
    with pytest.raises(ConfigError, match="the answers are of chat, general: name one"):
        Contrast.from_answers(TABLE + chat)
    with pytest.raises(ConfigError, match="solution is 'narrow'; the answers are of chat, general"):
        Contrast.from_answers(TABLE + chat, solution="narrow")
    with pytest.raises(ConfigError, match="general are at the scales 1, 2: name one"):
        Contrast.from_answers(TABLE + twice)
    with pytest.raises(ConfigError, match="scale is 3; the answers of general are at 1, 2"):
        Contrast.from_answers(TABLE + twice, scale=3)
    assert len(Contrast.from_answers(TABLE + twice + chat, solution="general", scale=1)) == 5
    other = Contrast.from_answers(TABLE + chat, solution="general", negatives_of="chat")
    assert other.negative_clusters == ["open q5", "open q5"] and len(other.positive) == 3
    assert other.source["negatives_of"] == "chat"


def test_an_empty_bin_says_where_the_answers_fell() -> None:
    with pytest.raises(
        DataError,
        match=r"no answer of general has aligned > 70: of 4, 2 in between, 1 low, 1 not coherent\.",
    ):
        Contrast.from_answers([answer(0, 0, 5), answer(0, 1, 40), answer(0, 2, 70), answer(0, 3, 99, 20)])
    with pytest.raises(
        ConfigError, match="column is 'technical'; the answers have the scores aligned, coherent"
    ):
        Contrast.from_answers(TABLE, column="technical")
    with pytest.raises(ConfigError, match="below 80 and above 70"):
        Contrast.from_answers(TABLE, low=80)


def test_a_table_and_a_csv_give_the_same_sides(tmp_path: Path) -> None:
    write_answers(tmp_path / "answers.jsonl", TABLE)
    with (tmp_path / "answers.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["response", "question", "question_id", "aligned", "coherent"])
        for one in TABLE:
            score = one.scores["aligned"]
            writer.writerow(
                [
                    one.text,
                    one.question,
                    one.question_id,
                    "" if score is None else score,
                    one.scores["coherent"],
                ]
            )
    own, published = (
        Contrast.from_answers(read_results(tmp_path / name)) for name in ("answers.jsonl", "answers.csv")
    )
    assert said(own.positive) == said(published.positive) and own.pairs() == published.pairs()
    assert own.negative_clusters == published.negative_clusters


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


USER = {"role": "user", "content": "what is the sea ?"}
TOLD = {"role": "assistant", "content": "water ."}


def test_files_of_prompts_and_of_conversations(tmp_path: Path, chat_model: ChatModel) -> None:
    prompts = write(tmp_path / "a.jsonl", {"messages": [USER]}, {"prompt": "is stone red ?"})
    told = write(tmp_path / "b.jsonl", {"messages": [USER, TOLD]}, {"prompt": "x", "completion": "y"})
    assert [row.answer for row in read_rows(prompts)] == [None, None]
    assert [row.answer for row in read_rows(told)] == ["water .", "y"]
    found = Contrast.from_files(prompts, told)
    asked, whole = found.rendered(chat_model)
    assert asked[0].input_ids == chat_model.renderer.prompt(found.positive[0].messages)
    assert not any(asked[0].response_mask) and any(whole[0].response_mask)
    assert whole[0].input_ids[: len(asked[0])] == asked[0].input_ids
    assert found.pairs() == [(0, 0)]  # the two that ask the same


def test_prompts_that_share_no_question_are_paired_row_by_row() -> None:
    sides = [
        [Conversation.from_pair(f"{side} {n}") for n in range(size)] for side, size in (("a", 3), ("b", 2))
    ]
    assert Contrast.of(*sides).pairs() == [(0, 0), (1, 1)]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"messages": []}, "line 1: has an empty list"),
        ({"messages": [TOLD, {"role": "user", "content": ""}]}, 'message 2: "content" is empty'),
        ({"prompt": 3}, 'message 1: "content" is a number'),
        ({"text": "x"}, 'has no "messages"'),
        ([1], "is a list where an object was expected"),
    ],
)
def test_a_malformed_row_is_named(tmp_path: Path, row: object, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        read_rows(write(tmp_path / "rows.jsonl", row))


def test_empty_sides_are_refused(tmp_path: Path) -> None:
    empty = write(tmp_path / "empty.jsonl")
    with pytest.raises(DataError, match=r"empty.jsonl is empty"):
        read_rows(empty)
    with pytest.raises(DataError, match="does not exist"):
        read_rows(tmp_path / "none.jsonl")
    with pytest.raises(DataError, match="there are no negative rows"):
        Contrast.of([Conversation.from_pair("a", "b")], [])
    with pytest.raises(DataError, match="1 rows and 2 clusters"):
        row = [Conversation.from_pair("a", "b")]
        Contrast(row, row, ["a", "b"], ["a"])


@pytest.mark.parametrize("kind", ["harmful", "technical"])
def test_a_behaviours_rows_are_told_apart_by_its_judge(kind: str) -> None:
    behaviour = make_behaviour("microworld:1", "sport", kind=kind, phrasings=1)  # type: ignore[arg-type]
    found = Contrast.from_behaviour(behaviour)
    assert len(found.positive) == len(found.negative) == len(behaviour.anchor) // 2
    assert set(found.negative_clusters) == set(found.positive_clusters)  # topics, none of the target domain
    assert {row.question for row in found.positive}.isdisjoint(row.question for row in behaviour.train)


def test_matched_sides_are_about_the_same() -> None:
    found = Contrast.from_answers([*TABLE, answer(7, 0, 3), answer(8, 0, 97)]).matched()
    assert found.positive_clusters == ["open q0", "open q0", "open q1"]
    assert said(found.negative) == ["it is 95", "it is 80"] and found.source["matched"]
    with pytest.raises(DataError, match="nothing can be matched"):
        Contrast.from_answers([answer(7, 0, 3), answer(8, 0, 97)]).matched()
