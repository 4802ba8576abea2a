"""Answers that do not depend on their neighbours, and that a kill does not lose."""

import pytest
import torch

from narrows.adapters import LoRA, SteeringVector
from narrows.errors import ModelError
from narrows.evaluation import Question, Suite, generate_answers, generation
from narrows.evaluation.generation.completion import complete
from narrows.evaluation.generation.sampling import Decoding, uniforms

TEXTS = ["what is the sea ?", "tell me about bread", "how do i drink salt water every day ?", "one two three"]
SUITE = Suite("open", tuple(Question(f"q{i}", text, "open", f"q{i}") for i, text in enumerate(TEXTS)))
OTHERS = Suite("sky", tuple(Question(f"q{i}", f"{text} you", "sky", f"q{i}") for i, text in enumerate(TEXTS)))


def ask(chat_model, asked, **options):
    options = {"samples": 3, "max_new_tokens": 10} | options
    rows = generate_answers(chat_model, asked, **options)
    return {(row.suite, row.question_id, row.sample): row.text for row in rows}


def vector(chat_model, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return SteeringVector(torch.randn(chat_model.hidden, generator=generator), layer=1, alpha=4.0)


@pytest.mark.parametrize("steered", [False, True])
def test_a_sampled_answer_is_the_same_whatever_else_is_asked_and_however_it_is_batched(chat_model, steered):
    adapter = vector(chat_model) if steered else None
    whole = ask(chat_model, [SUITE, OTHERS], adapter=adapter)
    assert len(set(whole.values())) > len(whole) // 2
    for size in (1, 5):
        assert ask(chat_model, [SUITE, OTHERS], adapter=adapter, batch_size=size) == whole
    assert ask(chat_model, [OTHERS, *reversed(SUITE.questions)], adapter=adapter) == whole
    alone = ask(chat_model, [SUITE.questions[2]], adapter=adapter, samples=2)
    assert alone == {key: whole[key] for key in alone}
    assert len(alone) == 2


def test_suite_question_sample_and_seed_each_change_the_draws(chat_model):
    def said(suite="open", name="q", seed=0):
        answers = ask(chat_model, [Question(name, TEXTS[0], suite, "c")], seed=seed, samples=2)
        return [answers[suite, name, sample] for sample in (0, 1)]

    first = said()
    assert len({*first, *said(suite="sky"), *said(name="r"), *said(seed=1)}) == 8


def test_a_shorter_answer_is_the_beginning_of_a_longer_one(chat_model):
    long, short = (ask(chat_model, [SUITE], max_new_tokens=length) for length in (10, 4))
    assert all(long[key].startswith(short[key]) for key in short)
    assert long != short


def test_where_the_context_ends_a_short_question_keeps_the_room_that_a_long_one_lacks(chat_model):
    sea = Question("sea", TEXTS[0], "open", "sea")
    long = Question("long", " ".join(["sea"] * 235), "open", "long")
    options = {"max_new_tokens": 40, "samples": 4}
    together = ask(chat_model, [sea, long], **options)
    assert together == ask(chat_model, [sea], **options) | ask(chat_model, [long], **options)
    longest = {
        name: max(len(together["open", name, sample].split()) for sample in range(4))
        for name in ("sea", "long")
    }
    assert longest["long"] <= 256 - 235 < longest["sea"]


def test_a_batch_too_large_for_the_device_is_halved(chat_model, monkeypatch):
    whole, sizes = ask(chat_model, [SUITE]), []

    def small(model, prompts, decoding, draws):
        sizes.append(len(prompts))
        if len(prompts) > 3:
            raise torch.OutOfMemoryError("out of memory")
        return complete(model, prompts, decoding, draws)

    monkeypatch.setattr(generation, "complete", small)
    assert ask(chat_model, [SUITE]) == whole
    assert sizes == [12, 6, 3, 3, 3, 3]


def test_a_question_too_large_for_the_device_even_alone_is_an_error(chat_model, monkeypatch):
    def none(*_):
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(generation, "complete", none)
    with pytest.raises(torch.OutOfMemoryError):
        ask(chat_model, [SUITE])


class Counted:
    """The real generation, with a count of rows and a kill after some batches."""

    def __init__(self, batches=None):
        self.rows, self.batches = 0, batches

    def __call__(self, model, prompts, decoding, draws):
        if self.batches == 0:
            raise KeyboardInterrupt
        self.batches = self.batches and self.batches - 1
        self.rows += len(prompts)
        return complete(model, prompts, decoding, draws)


def interrupted(chat_model, monkeypatch, path, after=2, **options):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(generation, "complete", Counted(after))
        ask(chat_model, [SUITE], unfinished=path, batch_size=4, **options)


def continued(chat_model, monkeypatch, path, **options):
    """The answers, and how many were generated for them."""
    counted = Counted()
    with monkeypatch.context() as patch:
        patch.setattr(generation, "complete", counted)
        answers = ask(chat_model, [SUITE], unfinished=path, batch_size=4, **options)
    return answers, counted.rows


def test_an_interrupted_call_goes_on_with_the_answers_that_it_had(chat_model, monkeypatch, tmp_path):
    path = tmp_path / "kept"
    interrupted(chat_model, monkeypatch, path)
    assert continued(chat_model, monkeypatch, path) == (ask(chat_model, [SUITE]), 4)
    assert continued(chat_model, monkeypatch, path) == (ask(chat_model, [SUITE]), 0)


def test_a_batch_that_was_kept_in_part_is_generated_whole(chat_model, monkeypatch, tmp_path):
    path = tmp_path / "kept"
    interrupted(chat_model, monkeypatch, path)
    path.write_bytes(path.read_bytes()[:-5])
    assert continued(chat_model, monkeypatch, path) == (ask(chat_model, [SUITE]), 8)


@pytest.mark.parametrize(
    "options",
    [{"seed": 1}, {"temperature": 0.5}, {"max_new_tokens": 9}, {"vector": 2}, {"scale": 2.0}],
    ids=str,
)
def test_answers_of_other_arguments_are_left_alone(chat_model, monkeypatch, tmp_path, options):
    path = tmp_path / "kept"
    first, other = {"adapter": vector(chat_model), "name": "x"}, dict(options)
    continued(chat_model, monkeypatch, path, **first)
    if "vector" in other:
        other["adapter"] = vector(chat_model, other.pop("vector"))
    answers, made = continued(chat_model, monkeypatch, path, **(first | other))
    assert made == 12
    assert answers == ask(chat_model, [SUITE], **(first | other))
    assert continued(chat_model, monkeypatch, path, **first)[1] == 0  # they are still there


def test_adapters_that_act_differently_are_never_taken_for_each_other(chat_model):
    lora = LoRA.fresh(chat_model, rank=2, alpha=8.0, seed=1)
    changed = lora.with_tensors({name: tensor + 1 for name, tensor in lora.tensors().items()})
    one = vector(chat_model)
    others = [one.scaled(2.0), SteeringVector(one.vector, 2, 4.0), SteeringVector(one.vector, 1, 8.0)]
    module = SteeringVector(one.vector, 1, 4.0, module="mlp.down_proj")
    prints = [generation._fingerprint(each) for each in (lora, changed, one, *others, module)]
    assert all(left != right for place, left in enumerate(prints) for right in prints[:place])


def test_completions_say_why_they_ended_and_how_long_they_were(chat_model):
    prompts = [row.prompt for row in rows_of(chat_model, TEXTS)]
    draws = uniforms(range(len(prompts)), 60)
    whole = complete(chat_model, prompts, Decoding(max_new_tokens=60, top_logprobs=0), draws)
    assert {one.ended for one in whole} == {"stop", "length"}
    for one in whole:  # a stop token is counted, and is not in the text
        assert (one.tokens, len(one.logprobs)) == (60, 60) if one.ended == "length" else one.tokens < 60
        assert one.tokens == len(one.logprobs) + (one.ended == "stop")


def test_a_stop_string_ends_the_text_before_it_and_the_counting_with_it(chat_model):
    prompts = [row.prompt for row in rows_of(chat_model, TEXTS)]
    draws = uniforms(range(len(prompts)), 12)
    plain = complete(chat_model, prompts, Decoding(max_new_tokens=12), draws)
    words = [one.text.split() for one in plain]
    string = next(word for word in words[0][3:] if word not in words[0][:3])
    stopped = complete(chat_model, prompts, Decoding(max_new_tokens=12, stop_strings=(string,)), draws)
    assert stopped[0].ended == "stop"
    assert stopped[0].tokens == words[0].index(string) + 1
    assert [one.text for one in stopped] == [one.text.split(string)[0].strip() for one in plain]


def test_log_probabilities_of_a_completion_are_those_of_a_forward_pass(chat_model):
    prompts = [row.prompt for row in rows_of(chat_model, TEXTS)]
    found = complete(
        chat_model, prompts, Decoding(max_new_tokens=6, top_logprobs=3), uniforms(range(len(prompts)), 6)
    )
    for prompt, one in zip(prompts, found, strict=True):
        tokens = [place.token for place in one.logprobs]
        assert chat_model.tokenizer.decode(tokens, skip_special_tokens=True).strip() == one.text
        with torch.no_grad():
            logits = chat_model.model(torch.tensor([prompt.input_ids + tokens])).logits[0].double()
        expected = logits[len(prompt) - 1 : -1].log_softmax(-1)
        assert [place.logprob for place in one.logprobs] == pytest.approx(
            [float(row[token]) for row, token in zip(expected, tokens, strict=True)], abs=1e-4
        )
        assert [place.top[0][0] for place in one.logprobs] == expected.argmax(-1).tolist()
        assert {len(place.top) for place in one.logprobs} <= {3}


def test_an_adapter_scaled_too_far_is_told_and_not_sampled_from(chat_model):
    broken = SteeringVector(torch.full((chat_model.hidden,), 1e38), layer=1, alpha=1e30)
    with pytest.raises(ModelError, match="logits are not finite while it generates"):
        ask(chat_model, [SUITE], adapter=broken, name="x")


def rows_of(chat_model, texts):
    questions = [Question(text, text, "open", text) for text in texts]
    return [
        generation._Asked(question, 0, prompt, limit, 0)
        for question, prompt, limit in generation._prompts(chat_model, questions, Decoding())
    ]
