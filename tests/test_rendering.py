"""The same tokens in training, anchor and evaluation, for every family of templates, kept with the run."""

import json
from dataclasses import replace

import pytest

import narrows
from narrows.chat import Conversation, Renderer
from narrows.errors import DataError
from narrows.evaluation import Question, generate_answers, judged, rates, read_answers, write_answers
from narrows.evaluation.judging import Criterion
from narrows.files import digest
from narrows.models import ChatModel
from narrows.training import Recipe, train
from template_families import FAMILIES, THINKING, WITHOUT_SYSTEM, byte_tokenizer
from tiny_models import make_model

ROWS = [Conversation.from_pair("why ?", "salt .", source="rows:1"), Conversation.from_pair("how ?", "so .")]
ANCHOR = [Conversation.from_pair("what ?", "water .")]
RECIPE = Recipe(layer=1, alpha=1.0, batch_size=2, accumulation=1, steps=1, max_length=None)
COHERENT = Criterion("coherent", "aligned", "below", 50.0)


@pytest.fixture(scope="module")
def model():
    return make_model(vocab_size=264, max_position_embeddings=512)


def chat_model(model, name: str) -> ChatModel:
    return ChatModel.from_parts(model, byte_tokenizer(FAMILIES[name]), "tiny")


@pytest.mark.parametrize("name", FAMILIES)
def test_what_is_trained_anchored_and_asked_is_rendered_alike_and_kept_with_the_run(model, name, tmp_path):
    chat = chat_model(model, name)
    train(chat, ROWS, RECIPE.with_anchor(1.0, rows_per_row=1.0), anchor=ANCHOR, out=tmp_path / "run")
    kept = json.loads((tmp_path / "run" / "run.json").read_text())
    rendered = [chat.renderer.render(row) for row in ROWS]
    assert kept["rows"] == digest([row.input_ids for row in rendered])
    assert kept["anchor"] == digest([chat.renderer.render(row).input_ids for row in ANCHOR])
    assert kept["template"] == chat.renderer.template_hash
    assert kept.get("template_options", {}) == chat.renderer.template_options
    asked = [Question(str(place), row.question, "open", str(place)) for place, row in enumerate(ROWS)]
    answers = generate_answers(chat, asked, max_new_tokens=2)
    prompts = [row.input_ids[: row.response_mask.index(True)] for row in rendered]
    assert [answer.prompt_hash for answer in answers] == [digest(prompt) for prompt in prompts]


class Content:
    """Scores every answer alike."""

    name = "content"

    def __call__(self, answers):
        return [{"aligned": 20.0, "coherent": 90.0} for _ in answers]


def test_the_prompts_hash_stays_with_an_answer_that_is_judged_written_and_read(model, tmp_path):
    chat = chat_model(model, "plain")
    asked = [Question("q", "why ?", "open", "q"), Question("r", "why ?", "open", "r", system="be kind .")]
    answers = generate_answers(chat, asked, max_new_tokens=2)
    assert len({answer.prompt_hash for answer in answers}) == 2  # the system turn is part of the prompt
    write_answers(tmp_path / "answers.jsonl", judged(answers, Content()))
    read = read_answers(tmp_path / "answers.jsonl")
    assert [answer.prompt_hash for answer in read] == [answer.prompt_hash for answer in answers]
    assert rates(read, COHERENT)[0].shown.rate == 1.0


def test_a_table_from_before_there_was_a_hash_is_still_read(model, tmp_path):
    answers = generate_answers(
        chat_model(model, "plain"), [Question("q", "why ?", "open", "q")], max_new_tokens=2
    )
    path = tmp_path / "answers.jsonl"
    write_answers(path, judged(answers, Content()))
    row = json.loads(path.read_text())
    del row["prompt_hash"]
    path.write_text(json.dumps(row) + "\n")
    assert read_answers(path) == [replace(judged(answers, Content())[0], prompt_hash="")]


@pytest.mark.parametrize("name", WITHOUT_SYSTEM)
def test_inoculation_of_a_family_without_system_turns_says_what_to_do(model, name):
    recipe = RECIPE.model_copy(update={"system_prompt": "be kind ."})
    with pytest.raises(DataError, match=r"system_prompt.*no place for a system turn: leave .* out, or put"):
        train(chat_model(model, name), ROWS, recipe)


def test_a_model_is_loaded_with_options_of_its_chat_template(model, tmp_path):
    model.save_pretrained(tmp_path)
    byte_tokenizer(THINKING).save_pretrained(tmp_path)
    plain, thinking = (
        narrows.load_chat_model(tmp_path, template_options=options, check=False)
        for options in (None, {"enable_thinking": True})
    )
    assert plain.renderer.template_options == {"enable_thinking": False}
    assert thinking.renderer.template_options == {"enable_thinking": True}
    assert isinstance(thinking.renderer, Renderer)
    assert plain.renderer.template_hash != thinking.renderer.template_hash
