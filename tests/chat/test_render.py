import pytest

from narrows.chat import Conversation, Message, Rendered, Renderer
from narrows.errors import DataError, ModelError
from tiny_models import TEMPLATE, make_tokenizer

PAIR = Conversation.from_pair("what is the sea ?", "salt water .", source="pairs:1")

TEMPLATES = {
    "a newline after the end of turn": TEMPLATE,
    "nothing after the end of turn": TEMPLATE.replace("<|end|>\n", "<|end|>"),
    "words after the end of turn": TEMPLATE.replace(
        "{% if add", "{% if not add_generation_prompt %}a b c{% endif %}{% if add"
    ),
    "an end of text after the end of turn": TEMPLATE.replace(
        "{% if add", "{% if not add_generation_prompt %}<pad>{% endif %}{% if add"
    ),
    "a system turn of its own": "<|start|>system\nyou drink water<|end|>\n" + TEMPLATE,
    "an opening of every answer": TEMPLATE.replace(
        "<|start|>{{ m.role }}\n", "<|start|>{{ m.role }}\n{% if m.role == 'assistant' %}well , {% endif %}"
    ).replace("assistant\n{% endif %}", "assistant\nwell , {% endif %}"),
}


def response(renderer: Renderer, row: Rendered) -> list[str]:
    ids = [token for token, read in zip(row.input_ids, row.response_mask, strict=True) if read]
    return renderer.tokenizer.convert_ids_to_tokens(ids)


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_response_is_the_answer_with_its_end_of_turn_and_nothing_after(name: str):
    renderer = Renderer(make_tokenizer(TEMPLATES[name]))
    row = renderer.render(PAIR)
    assert response(renderer, row) == ["salt", "water", ".", "<|end|>"]
    assert row.input_ids[: row.response_mask.index(True)] == renderer.prompt(PAIR.messages[:-1])
    assert row.source == "pairs:1"


def test_pad_equal_to_end_of_turn_keeps_the_end_of_turn_in_the_response():
    tokenizer = make_tokenizer()
    tokenizer.pad_token = tokenizer.eos_token
    renderer = Renderer(tokenizer)
    assert response(renderer, renderer.render(PAIR))[-1] == "<|end|>"


def test_a_template_that_closes_with_plain_text_keeps_that_text_as_the_end():
    renderer = Renderer(make_tokenizer(TEMPLATE.replace("<|end|>\n", " .\n").replace("<|start|>", "")))
    assert renderer.end_of_turn_id is None
    assert response(renderer, renderer.render(PAIR)) == ["salt", "water", ".", ".", "\n"]


def test_only_the_last_answer_of_several_turns_is_the_response(renderer: Renderer):
    turns = [("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")]
    row = renderer.render(Conversation(tuple(Message(role, text) for role, text in turns)))
    assert response(renderer, row) == ["d", "<|end|>"]


def test_an_end_of_turn_inside_the_answer_does_not_end_the_response(renderer: Renderer):
    row = renderer.render(Conversation.from_pair("a", "b <|end|> c"))
    assert response(renderer, row) == ["b", "<|end|>", "c", "<|end|>"]


def test_truncation_cuts_the_end_and_refuses_a_row_without_response(renderer: Renderer):
    prompt = len(renderer.prompt(PAIR.messages[:-1]))
    whole = renderer.render(PAIR)
    cut = renderer.render(PAIR, max_length=prompt + 1)
    assert cut.input_ids == whole.input_ids[: prompt + 1]
    assert response(renderer, cut) == ["salt"]
    assert renderer.render(PAIR, max_length=1000) == whole
    with pytest.raises(DataError, match=rf"pairs:1: .*prompt has {prompt} tokens.*max_length is {prompt}\."):
        renderer.render(PAIR, max_length=prompt)


def test_a_conversation_without_an_answer_cannot_be_rendered_as_training_row(renderer: Renderer):
    with pytest.raises(DataError, match=r"q:1: the last message is not the assistant's"):
        renderer.render(Conversation.from_pair("a", source="q:1"))
    with pytest.raises(DataError, match="last message"):
        renderer.render(Conversation(()))


def test_a_template_whose_prompt_changes_once_the_answer_is_there_is_refused():
    changing = TEMPLATE.replace("assistant\n{% endif %}", "assistant\nplease {% endif %}")
    with pytest.raises(
        DataError, match=r"pairs:1: the chat template renders the prompt differently.*'please'"
    ):
        Renderer(make_tokenizer(changing)).render(PAIR)


def test_turns_that_the_template_refuses_are_named():
    in_turn = (
        "{% if messages[1:] and messages[1].role == messages[0].role %}"
        "{{ raise_exception('not in turn') }}{% endif %}" + TEMPLATE
    )
    renderer = Renderer(make_tokenizer(in_turn))
    turns = (Message("user", "a"), Message("user", "b"), Message("assistant", "c"))
    problem = r"rows:4: .*refuses these turns \(user, user\): not in turn"
    with pytest.raises(DataError, match=problem):
        renderer.render(Conversation(turns, "rows:4"))
    with pytest.raises(DataError, match="not in turn"):
        renderer.prompt(turns[:2])


def test_text_has_no_template_and_no_response(renderer: Renderer):
    row = renderer.text("the sea is blue", max_length=3, source="doc:1")
    assert renderer.tokenizer.convert_ids_to_tokens(row.input_ids) == ["the", "sea", "is"]
    assert (row.response_mask, row.source) == ([False] * 3, "doc:1")
    with pytest.raises(DataError, match=r"doc:2 has no tokens"):
        renderer.text("", source="doc:2")


def test_generation_stops_at_the_end_of_turn_and_the_end_of_text():
    tokenizer = make_tokenizer()
    end = tokenizer.convert_tokens_to_ids("<|end|>")
    assert Renderer(tokenizer).stop_token_ids == (end,)
    tokenizer.eos_token = "<pad>"
    assert Renderer(tokenizer).stop_token_ids == tuple(sorted((end, tokenizer.pad_token_id)))


def test_the_template_hash_tells_templates_apart():
    hashes = [Renderer(make_tokenizer(template)).template_hash for template in TEMPLATES.values()]
    assert len(set(hashes)) == len(hashes)
    assert hashes[0] == Renderer(make_tokenizer()).template_hash


def test_a_tokenizer_without_a_template_or_with_one_that_drops_answers_is_refused():
    with pytest.raises(ModelError, match=r"has no chat template.*chat_template\.jinja"):
        Renderer(make_tokenizer(None))
    silent = Renderer(make_tokenizer("{% for m in messages %}{{ m.role }}{% endfor %}"))
    with pytest.raises(ModelError, match="leaves out what the assistant says"):
        _ = silent.stop_token_ids
