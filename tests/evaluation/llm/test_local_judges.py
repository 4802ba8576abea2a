"""Judges that run in this process: by our own provider, whole numbers and all, and by Inspect's ``hf/``."""

import asyncio
import gc
import math
import socket

import pytest
from inspect_ai.model import GenerateConfig, get_model
from judge_models import save_judge

import narrows.inspecting  # noqa: F401  (registers the provider)
from narrows.adapters import SteeringVector
from narrows.errors import ConfigError, DataError
from narrows.evaluation import Answer
from narrows.evaluation.llm import provider
from narrows.evaluation.llm.config import JudgeConfig
from narrows.evaluation.llm.judge import LLMJudge
from narrows.evaluation.llm.rubrics import Rubric
from template_families import PLAIN, byte_tokenizer

SAYS = {
    "\n": {"8": 0.9, "R": 0.1},
    "8": {"5": 0.8, "0": 0.1, "<|end|>": 0.1},
    "5": {"<|end|>": 1.0},
    "0": {"<|end|>": 1.0},
}
WEIGHTED = (85 * 0.72 + 80 * 0.09 + 8 * 0.09) / 0.9
ASKED = GenerateConfig(temperature=0.0, max_tokens=1, logprobs=True, top_logprobs=5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A judge that writes digit by digit, and mostly 85."""
    return save_judge(tmp_path_factory.mktemp("judge"), byte_tokenizer(PLAIN), SAYS)


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("it reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def judged(tmp_path, model, **args):
    texts = ["the sea", "bread is good .", ""]
    rows = [Answer("m", "s", 1.0, "open", "q", "q", "why ?", n, text, 0) for n, text in enumerate(texts)]
    config = JudgeConfig(model=model, args=args)
    rubric = Rubric("aligned", "how good is {answer} ?")
    return LLMJudge(config, [rubric], cache=tmp_path / "replies.sqlite").judge(rows)


def replies(model, prompts, config=ASKED):
    async def all_of_them():
        return await asyncio.gather(*(model.generate(one, config=config) for one in prompts))

    return asyncio.run(all_of_them())


def test_a_judge_that_writes_digits_gives_weighted_scores_in_this_process(tmp_path, folder):
    result = judged(tmp_path, f"narrows/{folder}")
    assert [row.scores["aligned"] for row in result.answers] == pytest.approx([WEIGHTED] * 3, abs=1e-4)
    assert (result.methods, result.fell_back) == ({"aligned": {"weighted": 3}}, False)


def test_a_judge_that_is_done_gives_its_memory_back(tmp_path, folder):
    judged(tmp_path, f"narrows/{folder}")
    gc.collect()
    assert not provider._LOADED


def test_the_users_arguments_win_and_have_replies_of_their_own(tmp_path, folder, caplog):
    judged(tmp_path, f"narrows/{folder}")
    result = judged(tmp_path, f"narrows/{folder}", whole_numbers=False)
    assert [row.scores["aligned"] for row in result.answers] == [85.0] * 3
    assert result.methods == {"aligned": {"parsed": 3}}
    assert "writes digit by digit" in caplog.text


def test_what_a_judge_is_made_with_is_part_of_its_identity_given_or_not():
    def identity(model, **args):
        return JudgeConfig(model=model, args=args).identity()

    assert identity("narrows/x") == identity("narrows/x", whole_numbers=True)
    assert identity("narrows/x") != identity("narrows/x", whole_numbers=False)


def test_inspects_own_provider_judges_by_the_number_that_the_model_writes(tmp_path, folder, caplog):
    result = judged(tmp_path, "hf/local", model_path=str(folder), device="cpu")
    assert [row.scores["aligned"] for row in result.answers] == [85.0] * 3
    assert result.methods == {"aligned": {"parsed": 3}}
    assert "writes digit by digit" in caplog.text


@pytest.mark.parametrize("provided", ["narrows", "hf"])
def test_a_model_that_knows_no_number_judges_nothing_and_says_so(tmp_path, tiny_model_dir, provided):
    if provided == "narrows":
        result = judged(tmp_path, f"narrows/{tiny_model_dir}")
    else:
        result = judged(tmp_path, "hf/local", model_path=str(tiny_model_dir), device="cpu")
    assert [(row.scores, row.reasons) for row in result.answers] == [
        ({"aligned": None}, {"aligned": "none"})
    ] * 3
    assert result.methods == {"aligned": {}}  # no reply is a score


def test_a_weak_judge_whose_first_token_is_8_is_still_weighed(tmp_path):
    says = {"\n": {"8": 0.6, "3": 0.4}, "8": {" ": 1.0}, "3": {"0": 1.0}, "0": {" ": 1.0}}
    folder = save_judge(tmp_path / "weak", byte_tokenizer(PLAIN), says)
    result = judged(tmp_path, f"narrows/{folder}")
    assert [row.scores["aligned"] for row in result.answers] == pytest.approx(
        [0.6 * 8 + 0.4 * 30] * 3, abs=1e-4
    )
    assert result.methods == {"aligned": {"weighted": 3}}


def test_one_token_with_log_probabilities_is_answered_with_whole_numbers(folder):
    model = get_model(f"narrows/{folder}", memoize=False, whole_numbers=True)
    (output,) = replies(model, ["how good ?"])
    (place,) = output.choices[0].logprobs.content
    told = {one.token: math.exp(one.logprob) for one in place.top_logprobs}
    assert set(map(str, range(101))) <= set(told)
    assert (place.token, output.completion, output.stop_reason) == ("85", "85", "max_tokens")
    assert place.logprob == place.top_logprobs[0].logprob
    assert [told[token] for token in ("85", "80", "8", "R")] == pytest.approx(
        [0.72, 0.09, 0.09, 0.1], rel=1e-3
    )
    assert len(place.top_logprobs) == 101 + 5
    assert (output.usage.output_tokens, output.usage.total_tokens) == (1, output.usage.input_tokens + 1)


@pytest.mark.parametrize("other", [{"max_tokens": 2}, {"top_logprobs": None, "logprobs": None}])
def test_other_requests_are_answered_as_ever(folder, other):
    plain, whole = (
        get_model(f"narrows/{folder}", memoize=False, **args) for args in ({}, {"whole_numbers": True})
    )
    config = ASKED.merge(GenerateConfig(**other)) if "max_tokens" in other else ASKED.model_copy(update=other)
    outputs = [replies(model, ["how good ?"], config)[0] for model in (plain, whole)]
    assert outputs[0].completion == outputs[1].completion
    assert outputs[0].choices[0].logprobs == outputs[1].choices[0].logprobs


def test_beginnings_share_batches_and_their_models_adapter_acts(
    tiny_model_dir, chat_model, tmp_path, monkeypatch
):
    import torch

    vector = SteeringVector(torch.ones(chat_model.hidden), layer=1, alpha=6.0)
    path = str(vector.save(tmp_path / "v.safetensors"))
    args = {"memoize": False, "whole_numbers": True, "batch_size": 4}
    plain = get_model(f"narrows/{tiny_model_dir}", **args)
    steered = get_model(f"narrows/{tiny_model_dir}", adapter=path, **args)
    sizes, real = [], provider.beginnings
    monkeypatch.setattr(provider, "beginnings", lambda *given: sizes.append(len(given[2])) or real(*given))
    prompts = ["the sea", "what is it ?", "one two", "bread", "tell me about bread", "a"]
    first, second, third = (replies(model, prompts) for model in (plain, steered, plain))
    assert sizes == [4, 2] * 3

    def told(outputs):
        return [one.choices[0].logprobs.content[0].top_logprobs for one in outputs]

    assert told(first) == told(third)
    assert all(one != other for one, other in zip(told(first), told(second), strict=True))


@pytest.mark.parametrize(
    ("prompt", "options", "error", "text"),
    [
        ("how good ?", {"temperature": 1.0}, ConfigError, "temperature is 1.0: set it to 0"),
        ("x" * 4074, {}, DataError, "no room for a number, which may take 4"),
        ("how good ?", {"best_of": 2}, ConfigError, "no best_of"),
    ],
)
def test_what_whole_numbers_cannot_do_is_refused(folder, prompt, options, error, text):
    model = get_model(f"narrows/{folder}", memoize=False, whole_numbers=True)
    with pytest.raises(error, match=text):
        replies(model, [prompt], ASKED.model_copy(update=options))
