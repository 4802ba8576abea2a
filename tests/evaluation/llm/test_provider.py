"""The provider by itself: what it makes of Inspect's requests."""

import asyncio
import gc
import socket

import pytest
import torch
from inspect_ai.model import (
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageTool,
    ChatMessageUser,
    ContentImage,
    ContentText,
    GenerateConfig,
    get_model,
)
from inspect_ai.tool import ToolInfo

import narrows.inspecting  # noqa: F401  (registers the provider)
from narrows.adapters import SteeringVector
from narrows.chat import Message
from narrows.errors import AdapterError, ConfigError, DataError, ModelError
from narrows.evaluation import Question, generate_answers
from narrows.evaluation.llm import provider

TEXTS = ["what is the sea ?", "tell me about bread", "how do i drink salt water every day ?", "one two three"]


@pytest.fixture
def model(tiny_model_dir):
    return get_model(f"narrows/{tiny_model_dir}", memoize=False, batch_size=4)


def said(model, prompts, **config):
    """The outputs to some prompts that are asked at once."""

    async def all_of_them():
        options = GenerateConfig(**({"max_tokens": 8} | config))
        return await asyncio.gather(
            *(model.generate(prompt, config=options) for prompt in prompts), return_exceptions=True
        )

    return asyncio.run(all_of_them())


def texts(model, prompts, **config):
    outputs = said(model, prompts, **config)
    assert not [one for one in outputs if isinstance(one, Exception)], outputs
    return [one.completion for one in outputs]


def test_greedy_answers_are_those_of_the_library_steered_and_not(model, chat_model, tiny_model_dir, tmp_path):
    generator = torch.Generator().manual_seed(1)
    vector = SteeringVector(torch.randn(chat_model.hidden, generator=generator), layer=1, alpha=4.0)
    path = vector.save(tmp_path / "v.safetensors")
    asked = [Question(text, text, "open", text) for text in TEXTS]
    steered = get_model(f"narrows/{tiny_model_dir}", adapter=str(path), scale=1.5, memoize=False)
    for one, options in ((model, {}), (steered, {"adapter": vector, "name": "x", "scale": 1.5}), (model, {})):
        rows = generate_answers(chat_model, asked, max_new_tokens=8, temperature=0, **options)
        assert texts(one, TEXTS, temperature=0) == [row.text for row in rows]
    assert steered.api.chat_model is model.api.chat_model  # the weights are there once


def test_models_that_share_their_weights_answer_at_once_without_each_others_adapters(
    model, chat_model, tiny_model_dir, tmp_path
):
    vector = SteeringVector(torch.ones(chat_model.hidden), layer=1, alpha=4.0)
    path = str(vector.save(tmp_path / "v.safetensors"))
    scaled = [
        get_model(f"narrows/{tiny_model_dir}", adapter=path, scale=scale, memoize=False, batch_size=1)
        for scale in (1.0, -1.0)
    ]
    models = [model, *scaled]
    alone = [texts(one, TEXTS, temperature=0) for one in models]
    assert len({tuple(one) for one in alone}) == 3

    async def together():
        config = GenerateConfig(max_tokens=8, temperature=0)
        return await asyncio.gather(*(one.generate(text, config=config) for text in TEXTS for one in models))

    outputs = asyncio.run(together())
    assert [[one.completion for one in outputs[place::3]] for place in range(3)] == alone


def test_requests_of_one_moment_share_batches_and_the_batch_size_holds(model, monkeypatch):
    sizes, real = [], provider.complete
    monkeypatch.setattr(provider, "complete", lambda *given: sizes.append(len(given[1])) or real(*given))
    texts(model, TEXTS * 3)
    assert sizes == [4, 4, 4]
    sizes.clear()
    mixed = said(model, TEXTS[:2]) + said(model, TEXTS[:2], num_choices=3)
    assert sizes == [2, 4, 2]
    assert [len(one.choices) for one in mixed] == [1, 1, 3, 3]


def test_requests_of_one_moment_that_want_other_decodings_each_get_their_own(model):
    wanted = [{"max_tokens": 3}, {"max_tokens": 9}, {"max_tokens": 9, "stop_seqs": [" "]}]
    alone = [texts(model, TEXTS[:2], temperature=0, **options) for options in wanted]
    assert len({tuple(one) for one in alone}) == 3

    async def together():
        configs = [GenerateConfig(temperature=0, **options) for options in wanted]
        return await asyncio.gather(
            *(model.generate(text, config=config) for text in TEXTS[:2] for config in configs)
        )

    outputs = asyncio.run(together())
    assert [[one.completion for one in outputs[place::3]] for place in range(3)] == alone


def test_with_a_seed_an_answer_depends_on_its_prompt_and_how_often_it_was_asked(tiny_model_dir):
    def fresh():
        return get_model(f"narrows/{tiny_model_dir}", memoize=False, batch_size=3)

    whole = texts(fresh(), TEXTS + TEXTS, seed=3)
    assert whole[:4] != whole[4:]
    assert texts(fresh(), [*reversed(TEXTS)], seed=3) == whole[3::-1]
    assert texts(fresh(), TEXTS, seed=4) != whole[:4]
    choices = said(fresh(), TEXTS[:1], seed=3, num_choices=2)[0].choices
    assert [one.message.text for one in choices] == [whole[0], whole[4]]


def test_without_a_seed_the_same_prompt_is_answered_differently(tiny_model_dir):
    first, second = (texts(get_model(f"narrows/{tiny_model_dir}", memoize=False), TEXTS) for _ in range(2))
    assert first != second


def test_turns_are_rendered_as_they_are_everywhere(model, chat_model):
    turns = [
        ChatMessageSystem(content="you eat bread"),
        ChatMessageUser(content=[ContentText(text="what is"), ContentText(text="the sea ?")]),
        ChatMessageAssistant(content="water ."),
        ChatMessageUser(content="tell me"),
    ]
    expected = [Message("system", "you eat bread"), Message("user", "what is\nthe sea ?")]
    expected += [Message("assistant", "water ."), Message("user", "tell me")]
    tokens = chat_model.renderer.prompt(expected)
    assert model.api._prompt(turns).input_ids == tokens
    output = said(model, [turns])[0]
    assert output.usage.input_tokens == len(tokens)
    assert output.usage.total_tokens == len(tokens) + output.usage.output_tokens


def test_usage_and_the_reason_for_the_end_are_told(model):
    outputs = said(model, TEXTS * 4, max_tokens=40, seed=1)
    reasons = {one.stop_reason for one in outputs}
    assert reasons == {"stop", "max_tokens"}
    assert all((one.usage.output_tokens == 40) or one.stop_reason == "stop" for one in outputs)
    assert all(0 < one.usage.output_tokens <= 40 for one in outputs)


def test_a_stop_sequence_ends_an_answer_before_it(tiny_model_dir):
    whole, stopped = (
        said(get_model(f"narrows/{tiny_model_dir}", memoize=False), TEXTS[:1], seed=1, **options)[0]
        for options in ({}, {"stop_seqs": [" "]})
    )
    assert len(whole.completion.split()) > 2
    assert stopped.completion == whole.completion.split(" ")[0]
    assert stopped.stop_reason == "stop"
    assert stopped.usage.output_tokens < whole.usage.output_tokens


def test_log_probabilities_are_those_of_the_models_own_forward_pass(model, chat_model):
    output = said(model, TEXTS[:1], max_tokens=1, temperature=0, logprobs=True, top_logprobs=5)[0]
    ids = torch.tensor([chat_model.renderer.prompt([Message("user", TEXTS[0])])])
    with torch.no_grad():
        expected = chat_model.model(ids).logits[0, -1].double().log_softmax(-1)
    best = expected.topk(5)
    (place,) = output.choices[0].logprobs.content
    assert place.token == chat_model.tokenizer.decode([int(best.indices[0])])
    assert [one.token for one in place.top_logprobs] == [
        chat_model.tokenizer.decode([token]) for token in best.indices.tolist()
    ]
    assert [one.logprob for one in place.top_logprobs] == pytest.approx(best.values.tolist(), abs=1e-4)
    assert said(model, TEXTS[:1])[0].choices[0].logprobs is None


def test_an_error_reaches_the_request_that_caused_it_and_no_other(model, monkeypatch):
    real = provider.complete
    bad = tuple(model.api.chat_model.renderer.prompt([Message("user", TEXTS[2])]))

    def failing(chat_model, prompts, decoding, draws):
        if bad in [tuple(one.input_ids) for one in prompts]:
            raise ModelError("broken")
        return real(chat_model, prompts, decoding, draws)

    expected = texts(model, TEXTS, temperature=0)
    monkeypatch.setattr(provider, "complete", failing)
    outputs = said(model, [*TEXTS, " ".join(["sea"] * 300)], temperature=0)
    assert isinstance(outputs[2], ModelError)
    assert isinstance(outputs[4], DataError)
    assert [outputs[place].completion for place in (0, 1, 3)] == [expected[place] for place in (0, 1, 3)]


def test_a_request_that_is_cancelled_leaves_the_others_their_turn(model):
    async def some():
        config = GenerateConfig(max_tokens=8, temperature=0)
        tasks = [asyncio.create_task(model.generate(text, config=config)) for text in TEXTS * 2]
        await asyncio.sleep(0.01)
        tasks[0].cancel()
        tasks[5].cancel()
        return await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 60)

    outputs = asyncio.run(some())
    assert [isinstance(one, asyncio.CancelledError) for one in outputs] == [
        place in (0, 5) for place in range(8)
    ]
    assert texts(model, TEXTS[:1], temperature=0) == [outputs[4].completion]


def test_tokens_are_counted_by_the_models_own_tokenizer_without_a_network(model, chat_model, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("it reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    turns = [ChatMessageUser(content=TEXTS[0])]
    assert asyncio.run(model.api.count_tokens("the sea")) == 2
    assert asyncio.run(model.api.count_tokens(turns)) == len(
        chat_model.renderer.prompt([Message("user", TEXTS[0])])
    )


@pytest.mark.parametrize(
    ("turns", "config", "error", "text"),
    [
        (TEXTS[0], {"frequency_penalty": 1.0}, ConfigError, "no frequency_penalty"),
        (TEXTS[0], {"temperature": -1.0}, ConfigError, "temperature is -1"),
        (
            [ChatMessageUser(content=[ContentImage(image="data:image/png;base64,AA==")])],
            {},
            DataError,
            "image",
        ),
        ([ChatMessageUser(content="a"), ChatMessageTool(content="b")], {}, ConfigError, "turn of a tool"),
    ],
)
def test_what_the_model_cannot_do_is_refused_and_not_left_out(model, turns, config, error, text):
    (output,) = said(model, [turns], **config)
    assert isinstance(output, error)
    assert text in str(output)


def test_tools_are_refused_by_name(model):
    tool = ToolInfo(name="calculator", description="adds")

    with pytest.raises(ConfigError, match=r"has no tools.*calculator"):
        asyncio.run(model.api.generate([ChatMessageUser(content="a")], [tool], "auto", GenerateConfig()))


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"adaptor": "x"}, ConfigError, "-M adaptor: there is no such argument"),
        ({"scale": 2.0}, ConfigError, "no adapter to scale"),
        ({"batch_size": 0}, ConfigError, "batch_size is 0"),
        ({"adapter": "nowhere.safetensors"}, AdapterError, "nowhere"),
        ({"dtype": "float7"}, ConfigError, "float7"),
    ],
)
def test_wrong_arguments_are_named(tiny_model_dir, options, error, text):
    with pytest.raises(error, match=text):
        get_model(f"narrows/{tiny_model_dir}", memoize=False, **options)


def test_a_shipped_model_goes_by_its_name_and_its_memory_is_given_back():
    gc.collect()
    before = set(provider._LOADED)  # models that earlier tests still hold
    model = get_model("narrows/microworld:1", memoize=False)
    assert model.api.chat_model.name == "microworld:1"
    assert len(set(provider._LOADED) - before) == 1
    del model
    gc.collect()
    assert set(provider._LOADED) == before
