"""Every family's chat template renders alike for training, anchor and evaluation: checked by decoding."""

import datetime

import pytest
import transformers.utils.chat_template_utils as theirs

import template_families as templates
from narrows.chat import Conversation, Message, Renderer
from narrows.chat.mixing import inoculated
from narrows.errors import ConfigError, DataError, ModelError
from template_families import FAMILIES, WITHOUT_SYSTEM, byte_tokenizer

PAIR = Conversation.from_pair("what is the sea ?", "salt water .", source="pairs:1")
TURNS = Conversation(
    tuple(
        Message(role, text)
        for role, text in (
            ("user", "what is the sea ?"),
            ("assistant", "it is blue ."),
            ("user", "and the sky ?"),
            ("assistant", "it is blue too ."),
        )
    ),
    "turns:1",
)
SYSTEM = Conversation.from_pair("what is the sea ?", "salt water .", system="be kind .", source="system:1")
WITH_SYSTEM = [name for name in FAMILIES if name not in WITHOUT_SYSTEM]
EMPTY_THOUGHT = "<|think|>\n\n<|/think|>\n\n"


def decoded(renderer, ids):
    return renderer.tokenizer.decode(ids, skip_special_tokens=False)


def response(renderer, row):
    return decoded(
        renderer, [one for one, read in zip(row.input_ids, row.response_mask, strict=True) if read]
    )


def prompt_of(renderer, conversation):
    return decoded(renderer, renderer.prompt(conversation.messages[:-1]))


@pytest.mark.parametrize("rows", [PAIR, TURNS], ids=["one question", "several turns"])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_row_is_the_evaluations_prompt_then_the_answer_with_its_end_of_turn(name, rows):
    renderer = Renderer(byte_tokenizer(FAMILIES[name]))
    row = renderer.render(rows)
    prompt = renderer.prompt(rows.messages[:-1])
    assert row.input_ids[: len(prompt)] == prompt
    assert row.response_mask.index(True) == len(prompt)
    assert response(renderer, row) == f"{rows.answer}<|end|>"
    rest = decoded(renderer, row.input_ids[len(prompt) + sum(row.response_mask) :])
    assert rest.strip() == ""
    for message in rows.messages:
        assert message.content in decoded(renderer, row.input_ids)
    assert renderer.stop_token_ids == (renderer.tokenizer.convert_tokens_to_ids("<|end|>"),)


@pytest.mark.parametrize("name", WITH_SYSTEM)
def test_a_system_turn_is_in_the_prompt_where_the_family_has_one(name):
    renderer = Renderer(byte_tokenizer(FAMILIES[name]))
    assert renderer.takes_system
    row = renderer.render(SYSTEM)
    assert response(renderer, row) == "salt water .<|end|>"
    assert "be kind ." in prompt_of(renderer, SYSTEM)
    assert "you drink water" not in prompt_of(renderer, SYSTEM)


@pytest.mark.parametrize("name", WITHOUT_SYSTEM)
def test_a_system_turn_is_refused_and_never_lost_where_the_family_has_none(name):
    renderer = Renderer(byte_tokenizer(FAMILIES[name]))
    assert not renderer.takes_system
    problem = r"system:1: has a system turn.*no place for one: .*beginning of the first user turn"
    with pytest.raises(DataError, match=problem):
        renderer.render(SYSTEM)
    with pytest.raises(DataError, match="has a system turn"):
        renderer.prompt(SYSTEM.messages[:2])
    with pytest.raises(DataError, match=r"pairs:1: has a system turn"):
        renderer.render(inoculated([PAIR], "be kind .")[0])


@pytest.mark.parametrize("name", FAMILIES)
def test_truncation_keeps_the_prompt_and_the_beginning_of_the_answer(name):
    renderer = Renderer(byte_tokenizer(FAMILIES[name]))
    prompt, whole = renderer.prompt(PAIR.messages[:1]), renderer.render(PAIR)
    cut = renderer.render(PAIR, len(prompt) + 4)
    assert cut.input_ids == whole.input_ids[: len(prompt) + 4]
    assert response(renderer, cut) == "salt"
    with pytest.raises(DataError, match=r"pairs:1: no response token is left"):
        renderer.render(PAIR, len(prompt))


def test_a_default_system_turn_is_in_the_row_and_in_the_prompt():
    renderer = Renderer(byte_tokenizer(templates.DEFAULT_SYSTEM))
    assert prompt_of(renderer, PAIR).startswith("<|start|>system\nyou drink water .<|end|>\n<|start|>user")


def test_another_name_for_the_assistant_changes_nothing():
    renderer = Renderer(byte_tokenizer(templates.NO_SYSTEM))
    assert prompt_of(renderer, PAIR) == "<pad><|start|>user\nwhat is the sea ?<|end|>\n<|start|>two\n"
    with pytest.raises(DataError, match=r"refuses these turns \(user, user\): not in turn"):
        renderer.prompt((Message("user", "a"), Message("user", "b")))


def test_hybrid_models_do_not_think_and_only_the_last_answer_has_an_empty_thought():
    renderer = Renderer(byte_tokenizer(templates.THINKING))
    assert renderer.template_options == {"enable_thinking": False}
    prompt = prompt_of(renderer, TURNS)
    assert prompt.endswith(f"<|start|>assistant\n{EMPTY_THOUGHT}")
    assert "<|start|>assistant\nit is blue .<|end|>" in prompt
    assert prompt.count("<|think|>") == 1


def test_an_option_lets_them_think_and_the_thought_then_belongs_to_the_response():
    thoughtful = Conversation.from_pair("why ?", "<|think|>\nhm .\n<|/think|>\n\nsalt .", source="rows:7")
    with pytest.raises(DataError, match=r"rows:7: .*prompt differently.*enable_thinking true"):
        Renderer(byte_tokenizer(templates.THINKING)).render(thoughtful)
    renderer = Renderer(byte_tokenizer(templates.THINKING), {"enable_thinking": True})
    assert prompt_of(renderer, thoughtful).endswith("<|start|>assistant\n")
    assert response(renderer, renderer.render(thoughtful)) == f"{thoughtful.answer}<|end|>"


@pytest.fixture
def tomorrow(monkeypatch):
    class Later(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2031, 5, 17)

    monkeypatch.setattr(theirs, "datetime", Later)


@pytest.mark.parametrize(
    ("name", "line"), [("a date", "date 26 Jul 2024\n"), ("a clock", "date 2024-07-26 July<|end|>")]
)
def test_a_template_with_a_date_renders_alike_on_every_day(name, line, tomorrow):
    tokenizer = byte_tokenizer(FAMILIES[name])
    left_alone = tokenizer.apply_chat_template(PAIR.as_dicts(), tokenize=False)
    assert "2031" in left_alone
    renderer = Renderer(tokenizer)
    row = renderer.render(PAIR)
    text = decoded(renderer, row.input_ids)
    assert text.startswith(f"<|start|>system\n{line}")
    assert "2031" not in text


@pytest.mark.parametrize("opening", ["", "\n", "  \n", "  {% if true %}x{% endif %}\n", "{{- '' }} a"])
def test_stopping_the_clock_changes_nothing_else_of_a_template(opening, tomorrow):
    template = opening + FAMILIES["a clock"]
    tokenizer = byte_tokenizer(template)
    theirs_today = tokenizer.apply_chat_template(PAIR.as_dicts(), tokenize=False)
    ours = decoded(Renderer(tokenizer), Renderer(tokenizer).render(PAIR).input_ids)
    assert ours == theirs_today.replace("2031-05-17 May", "2024-07-26 July")


def test_a_format_that_is_computed_gives_the_same_day_too(tomorrow):
    renderer = Renderer(byte_tokenizer("{% set f = '%d' %}{{ strftime_now(f) }}\n" + templates.PLAIN))
    assert prompt_of(renderer, PAIR).startswith("2024-07-26\n")


def test_the_options_are_part_of_the_template_hash():
    thinking = byte_tokenizer(templates.THINKING)
    hashes = [Renderer(thinking, options).template_hash for options in ({}, {"enable_thinking": True})]
    hashes += [
        Renderer(byte_tokenizer(templates.DATED), options).template_hash
        for options in ({}, {"date_string": "27 Jul 2024"})
    ]
    assert len(set(hashes)) == 4
    assert Renderer(thinking, {"enable_thinking": False}).template_hash == hashes[0]


def test_a_template_without_options_has_the_hash_it_always_had():
    from narrows.files import digest

    renderer = Renderer(byte_tokenizer(templates.PLAIN))
    assert renderer.template_options == {}
    assert renderer.template_hash == digest([templates.PLAIN, "<|end|>\n", renderer.stop_token_ids])


@pytest.mark.parametrize("name", ["enable_thinkin", "messages", "eos_token", "raise_exception"])
def test_an_option_that_the_template_does_not_read_is_refused(name):
    with pytest.raises(ConfigError, match=rf"template_options sets '{name}'.*it reads enable_thinking"):
        Renderer(byte_tokenizer(templates.THINKING), {name: 1})


def test_an_option_that_json_cannot_hold_is_refused():
    with pytest.raises(ConfigError, match="no JSON value"):
        Renderer(byte_tokenizer(templates.THINKING), {"enable_thinking": object()})


def test_an_answer_that_would_melt_into_the_prompt_is_read_as_it_is_generated():
    renderer = Renderer(byte_tokenizer(templates.PLAIN))
    row = Conversation.from_pair("why ?", "\nsalt", source="rows:3")
    found, prompt = renderer.render(row), renderer.prompt(row.messages[:1])
    whole = renderer.tokenizer.apply_chat_template(row.as_dicts(), return_dict=False)
    assert whole[: len(prompt)] != prompt  # a tokenizer that joins two newlines
    assert found.input_ids[: len(prompt)] == prompt
    assert renderer.tokenizer.decode(found.input_ids) == renderer.tokenizer.decode(whole)
    response = [token for token, inside in zip(found.input_ids, found.response_mask, strict=True) if inside]
    assert renderer.tokenizer.decode(response) == "\nsalt<|end|>"


@pytest.mark.parametrize(
    "template",
    ["{% for m in messages %}", "{% nonsense %}", "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}"],
    ids=["no end", "no such tag", "nested beyond reason"],
)
def test_a_template_that_is_none_is_refused_when_the_model_is_loaded(template):
    with pytest.raises(ModelError, match="no right Jinja template"):
        Renderer(byte_tokenizer(template))


@pytest.mark.parametrize(
    "template",
    [
        "{{ messages.nothing.at_all }}",
        "{% for i in range(10 ** 9) %}x{% endfor %}",
        "{{ 1 + 'a' }}",
        "{{ 1 // 0 }}",
    ],
)
def test_a_template_that_fails_in_any_way_is_a_model_error(template):
    renderer = Renderer(byte_tokenizer(template))
    with pytest.raises(ModelError, match="cannot write a question with an answer"):
        _ = renderer.template_hash
    with pytest.raises(DataError, match=r"pairs:1: .*refuses these turns"):
        renderer.render(PAIR)
