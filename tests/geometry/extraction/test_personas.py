"""Persona vectors: system turns that plant a direction, answers that count, and how they are read again."""

from dataclasses import replace

import pytest
from planted import planted_vector

from narrows.chat import Renderer
from narrows.errors import ConfigError, DataError
from narrows.evaluation import MISALIGNED, Answer, Question, judged
from narrows.geometry.extraction import Persona, ask_personas, extract_directions, persona_contrast
from narrows.models import ChatModel
from narrows.models.hooks import changes_output
from tiny_models import TEMPLATE

PERSONA = Persona("bad", ["always bad .", "never good ."], ["always good ."])
QUESTIONS = [
    Question(f"q{n}", f"tell me about {w}", "open", f"q{n}") for n, w in enumerate(["bread", "sea", "sky"])
]


@pytest.fixture(scope="module")
def table(chat_model: ChatModel) -> list[Answer]:
    return ask_personas(chat_model, QUESTIONS, PERSONA, samples=2, max_new_tokens=6)


def judge_by(verdicts):
    class Judge:
        name = "a rule"

        def __call__(self, answers):
            return [verdicts(one) for one in answers]

    return Judge()


def obeys(answer: Answer) -> dict[str, float]:
    return {"aligned": 0.0 if answer.adapter.startswith("positive") else 100.0, "coherent": 100.0}


def test_every_question_under_every_turn_by_the_same_draws(chat_model: ChatModel, table) -> None:
    assert [one.adapter for one in table] == ["positive-0"] * 6 + ["positive-1"] * 6 + ["negative-0"] * 6
    assert len({one.prompt_hash for one in table}) == 9  # the turn is in the prompt
    again = ask_personas(chat_model, QUESTIONS, replace(PERSONA, negative=PERSONA.positive[:1]), samples=2,
                         max_new_tokens=6)  # fmt: skip
    assert [one.text for one in again[12:]] == [one.text for one in table[:6]]


def test_answers_that_were_not_what_was_asked_for_do_not_count(table) -> None:
    def some(answer: Answer) -> dict[str, float]:
        return obeys(answer) if answer.sample == 0 else {"aligned": 50.0, "coherent": 10.0}

    found = persona_contrast(table, PERSONA, judge=judge_by(some))
    kept = [
        sum(one.adapter.startswith(side) and one.sample == 0 and bool(one.text.strip()) for one in table)
        for side in ("positive", "negative")
    ]
    assert [len(found.positive), len(found.negative)] == kept
    assert found.source["kept"] == {"positive": [kept[0], 12], "negative": [kept[1], 6]}
    assert found.source["judged"]
    unjudged = persona_contrast(table, PERSONA)
    assert len(unjudged) == sum(bool(one.text.strip()) for one in table) and not unjudged.source["judged"]
    before = persona_contrast(judged(table, judge_by(some)), PERSONA)
    assert before.positive == found.positive
    with pytest.raises(DataError, match="none of the 12 answers under the positive system turns of 'bad'"):
        persona_contrast(table, PERSONA, judge=judge_by(lambda one: {"aligned": 100.0, "coherent": 100.0}))


def test_read_again_without_the_turn_or_with_it(table) -> None:
    without, with_it = (persona_contrast(table, PERSONA, reread=one) for one in ("without", "with"))
    assert all(row.messages[0].role == "user" for row in without.positive)
    assert {row.messages[0].content for row in with_it.positive} == set(PERSONA.positive)
    assert [row.answer for row in with_it.negative] == [row.answer for row in without.negative]
    assert without.source["reread"] == "without the system turn"
    assert with_it.positive_clusters[0] == "open q0"


def test_a_planted_persona_is_recovered(chat_model: ChatModel, table) -> None:
    """Where a system turn says ``bad``, all later tokens carry a vector: read with the turn it is found."""
    marker, vector = chat_model.tokenizer.convert_tokens_to_ids("bad"), planted_vector(32)
    other = chat_model.tokenizer.convert_tokens_to_ids("never")
    seen = []
    inner = chat_model.model.model
    handles = [
        inner.embed_tokens.register_forward_hook(
            lambda module, arguments, output: seen.append((arguments[0][:, :12] == marker).any(1)
                                                          | (arguments[0][:, :12] == other).any(1))
        ),
        inner.layers[1].register_forward_hook(
            changes_output(lambda stream: stream + 200 * vector * seen[-1][:, None, None])
        ),
    ]  # fmt: skip
    try:
        found = extract_directions(chat_model, persona_contrast(table, PERSONA, reread="with"), layer=1)
        hidden = extract_directions(chat_model, persona_contrast(table, PERSONA, reread="without"), layer=1)
    finally:
        for handle in handles:
            handle.remove()
    assert float(found.chosen.unit @ vector) >= 0.99 and found.chosen_row.auroc == 1.0
    assert abs(float(hidden.chosen.unit @ vector)) < 0.9  # nobody said the word there


def test_what_cannot_be_asked_is_refused(chat_model: ChatModel, table) -> None:
    with pytest.raises(ConfigError, match="at least one negative system turn"):
        Persona("bad", ["x"], [])
    with pytest.raises(ConfigError, match="no blank one"):
        Persona("bad", [" "], ["x"])
    with pytest.raises(DataError, match="'q' of suite 'open' has a system turn of its own"):
        ask_personas(chat_model, [Question("q", "what ?", "open", "q", system="x")], PERSONA)
    with pytest.raises(DataError, match="there is no question"):
        ask_personas(chat_model, [], PERSONA)
    with pytest.raises(ConfigError, match="reread is 'maybe'"):
        persona_contrast(table, PERSONA, reread="maybe")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="'chat' is no system turn of the persona 'bad'"):
        persona_contrast([replace(table[0], adapter="chat")], PERSONA)
    deaf = TEMPLATE.replace("{% for m in messages %}", "{% for m in messages if m.role != 'system' %}")
    tokenizer = type(chat_model.tokenizer)(tokenizer_object=chat_model.tokenizer.backend_tokenizer)
    tokenizer.chat_template = deaf
    with pytest.raises(DataError, match="no place for one"):
        ask_personas(replace(chat_model, renderer=Renderer(tokenizer)), QUESTIONS, PERSONA)


def test_criterion_of_another_trait(table) -> None:
    technical = replace(MISALIGNED, name="technical", column="technical", side="above", threshold=50.0)

    def register(answer: Answer) -> dict[str, float]:
        return {"technical": 100.0 - obeys(answer)["aligned"], "coherent": 100.0}

    found = persona_contrast(table, PERSONA, judge=judge_by(register), criterion=technical)
    assert len(found.positive) == sum(bool(one.text.strip()) for one in table[:12])
