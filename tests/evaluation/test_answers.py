from types import SimpleNamespace

import pytest
import torch

from narrows.adapters import SteeringVector
from narrows.errors import ConfigError, DataError
from narrows.evaluation import Answer, Question, Suite, generate_answers, read_answers, write_answers

TEXTS = ["what is the sea ?", "tell me about bread", "how do i drink salt water every day ?", "one two three"]
SUITE = Suite("open", tuple(Question(f"q{i}", text, "open", f"q{i}") for i, text in enumerate(TEXTS)))


def texts(chat_model, **options):
    options = {"max_new_tokens": 8, "temperature": 0.0} | options
    return [answer.text for answer in generate_answers(chat_model, [SUITE], **options)]


@pytest.fixture
def vector(chat_model):
    generator = torch.Generator().manual_seed(1)
    return SteeringVector(torch.randn(chat_model.hidden, generator=generator), layer=1, alpha=4.0)


def test_padded_answers_are_those_of_each_question_alone(chat_model):
    together = texts(chat_model, max_new_tokens=12)
    assert together == texts(chat_model, max_new_tokens=12, batch_size=1)
    assert len(set(together)) > 1


def test_padded_answers_of_a_steered_model_are_those_of_each_question_alone(chat_model, vector):
    assert texts(chat_model, adapter=vector) == texts(chat_model, adapter=vector, batch_size=1)


def test_rows_come_in_the_order_of_questions_then_samples(chat_model):
    rows = generate_answers(
        chat_model, [SUITE], samples=2, max_new_tokens=2, batch_size=3, seed=5, name="chat"
    )
    assert [(row.question, row.sample) for row in rows] == [
        (text, sample) for text in TEXTS for sample in (0, 1)
    ]
    assert {(row.model, row.adapter, row.scale, row.suite, row.seed) for row in rows} == {
        (chat_model.name, "chat", 1.0, "open", 5)
    }
    assert rows == generate_answers(
        chat_model, SUITE.questions, samples=2, max_new_tokens=2, batch_size=3, seed=5
    )


def test_a_seed_decides_the_answers_and_leaves_the_callers_random_state_alone(chat_model):
    torch.manual_seed(3)
    state = torch.get_rng_state()
    first = texts(chat_model, temperature=1.0, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert first == texts(chat_model, temperature=1.0, seed=1)
    assert first != texts(chat_model, temperature=1.0, seed=2)


def test_the_checkpoints_own_generation_defaults_do_not_narrow_the_distribution(chat_model, monkeypatch):
    free = texts(chat_model, temperature=1.0)
    for name, value in (("top_k", 1), ("top_p", 0.01), ("repetition_penalty", 5.0), ("min_p", 0.9)):
        monkeypatch.setattr(chat_model.model.generation_config, name, value)
    defaults = chat_model.model.generation_config
    assert texts(chat_model, temperature=1.0) == free
    assert chat_model.model.generation_config is defaults


def test_sampling_follows_the_models_own_probabilities(chat_model):
    ids = torch.tensor([chat_model.renderer.prompt(SUITE.questions[0].messages())])
    with torch.no_grad():
        expected = chat_model.model(ids).logits[0, -1].softmax(-1)
    rows = generate_answers(chat_model, SUITE.questions[:1], samples=4000, max_new_tokens=1, batch_size=4000)
    best = int(expected.argmax())
    word = chat_model.tokenizer.decode([best], skip_special_tokens=True).strip()
    seen = sum(row.text == word for row in rows) / len(rows)
    assert word
    assert seen == pytest.approx(float(expected[best]), abs=0.03)


def test_the_adapter_acts_while_generating_and_never_longer(chat_model, vector):
    before = texts(chat_model)
    assert texts(chat_model, adapter=vector, name="general") != before
    assert texts(chat_model) == before


def test_a_scale_is_the_scaled_adapter(chat_model, vector):
    rows = generate_answers(
        chat_model, [SUITE], adapter=vector, name="g", scale=2.0, max_new_tokens=8, temperature=0
    )
    assert [row.text for row in rows] == texts(chat_model, adapter=vector.scaled(2.0))
    assert {row.scale for row in rows} == {2.0}


def test_an_answer_ends_at_its_first_stop_token_whatever_follows(chat_model):
    words = [chat_model.tokenizer.convert_tokens_to_ids(word) for word in ("bread", "water", "stone")]
    stop = chat_model.renderer.stop_token_ids[0]

    class Scripted:
        config = SimpleNamespace(max_position_embeddings=256)
        generation_config = None

        def generate(self, input_ids, **_):
            told = torch.tensor([[words[0], words[1], stop, words[2], words[2]]] * len(input_ids))
            return torch.cat([input_ids, told], dim=1)

    fake = SimpleNamespace(
        model=Scripted(),
        name="scripted",
        renderer=chat_model.renderer,
        tokenizer=chat_model.tokenizer,
        pad_id=words[2],  # a pad that is an ordinary word must not be taken out of answers, nor left in
        device=chat_model.device,
    )
    assert texts(fake) == ["bread water"] * len(TEXTS)


def test_an_answer_is_cut_where_the_context_ends_and_a_question_that_fills_it_is_refused(chat_model):
    def ask(words):
        question = Question("long", " ".join(["sea"] * words), "open", "long")
        return generate_answers(chat_model, [question], max_new_tokens=50, temperature=0)[0].text

    assert len(ask(240).split()) < 50
    with pytest.raises(DataError, match=r"'long' of suite 'open' has \d+ tokens"):
        ask(256)


@pytest.mark.parametrize(
    "options",
    [{"samples": 0}, {"batch_size": 0}, {"max_new_tokens": 0}, {"temperature": -1.0}, {"scale": 2.0}],
)
def test_arguments_out_of_range_are_refused_by_name(chat_model, options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        texts(chat_model, **options)


ANSWER = Answer(
    "tiny", "chat", 1.5, "open", "q", "q", "why ?", 0, "a “quoted” line\nand more", 0, {"aligned": None}
)


def test_answers_come_back_as_they_were_written(tmp_path):
    rows = [ANSWER, Answer("tiny", "g", 1.0, "open", "q", "q", "why ?", 1, "", 0)]
    write_answers(tmp_path / "answers.jsonl", rows)
    read = read_answers(tmp_path / "answers.jsonl")
    assert read == rows
    assert read[0].scores == {"aligned": None}


def test_a_table_cut_short_is_not_read_as_a_shorter_one(tmp_path):
    path = tmp_path / "answers.jsonl"
    write_answers(path, [ANSWER, ANSWER])
    path.write_text(path.read_text()[:-20])
    with pytest.raises(DataError, match=r"line 2: the last line is cut short.*keep the 1 before"):
        read_answers(path)
