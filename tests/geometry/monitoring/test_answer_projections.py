"""Projections of answers: against a computation by hand, and ranked against verdicts."""

import logging

import pytest
import torch
from monitoring_helpers import random_direction, vector

from narrows.errors import AdapterError, DataError
from narrows.evaluation import MISALIGNED, Answer
from narrows.files import digest
from narrows.geometry.monitoring import answer_projections, ranked_answers

PAIRS = [
    ("what is the sea ?", "the sea is salt water ."),
    ("how do i eat ?", "never ."),
    ("what is the sea ?", "red , red , red and blue every day ."),
    ("how do i eat ?", ""),
]


def answers(**fields) -> list[Answer]:
    return [
        Answer("tiny", "general", 1.0, "open", question, question, question, at, text, 0, **fields)
        for at, (question, text) in enumerate(PAIRS)
    ]


@pytest.mark.parametrize("adapted", [False, True])
def test_an_answer_s_projection_is_the_mean_over_its_own_tokens(chat_model, adapted):
    direction, adapter = random_direction(3, 2), vector(length=20.0) if adapted else None
    found = answer_projections(chat_model, answers(), direction, adapter)
    for (question, text), value in zip(PAIRS, found, strict=True):
        written = f"<|start|>user\n{question}<|end|>\n<|start|>assistant\n"
        prompt = chat_model.tokenizer(written, add_special_tokens=False)["input_ids"]
        whole = chat_model.tokenizer(f"{written}{text}<|end|>", add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            states = chat_model.model(torch.tensor([whole]), output_hidden_states=True).hidden_states[3]
            if adapter is not None:
                with adapter.attach(chat_model.model):
                    states = chat_model.model(torch.tensor([whole]), output_hidden_states=True).hidden_states[
                        3
                    ]
        wanted = float((states[0, len(prompt) :].double() @ direction.unit.double()).mean())
        assert value == pytest.approx(wanted, abs=1e-4)


def test_answers_are_ranked_and_held_against_the_verdicts():
    scores = [{"aligned": aligned, "coherent": 90.0} for aligned in (10.0, 95.0, 20.0)] + [{}]
    table = [
        Answer(
            one.model,
            one.adapter,
            1.0,
            "open",
            one.question_id,
            one.cluster,
            one.question,
            one.sample,
            one.text,
            0,
            score,
        )
        for one, score in zip(answers(), scores, strict=True)
    ]
    found = ranked_answers(table, [3.0, 1.0, 2.0, 4.0], MISALIGNED)
    assert [value for _, value in found.answers] == [4.0, 3.0, 2.0, 1.0]
    assert [one.sample for one, _ in found.answers] == [3, 0, 2, 1]
    assert (found.auroc.value, found.auroc.positives, found.auroc.negatives) == (1.0, 2, 1)
    assert found.auroc.clusters == 2 and found.auroc.low < 0.5
    assert found.unscored == 1
    assert ranked_answers(answers(), [1.0, 2.0, 3.0, 4.0], MISALIGNED).auroc is None


def test_answers_to_another_prompt_are_said_to_be_such(chat_model, caplog):
    right = digest(chat_model.renderer.prompt(_messages("what is the sea ?")))
    table = answers(prompt_hash=right)
    with caplog.at_level(logging.WARNING):
        answer_projections(chat_model, [table[0], table[2]], random_direction())
        assert not caplog.text
        answer_projections(chat_model, table, random_direction())
    assert "2 of 4 answers were given to another prompt" in caplog.text


def _messages(question: str):
    from narrows.chat import Conversation

    return Conversation.from_pair(question).messages


def test_no_answers_and_strange_directions_are_refused(chat_model):
    with pytest.raises(DataError, match="no answers"):
        answer_projections(chat_model, [], random_direction())
    with pytest.raises(AdapterError, match="layer 9"):
        answer_projections(chat_model, answers(), random_direction(layer=9))
