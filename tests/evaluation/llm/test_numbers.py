"""The probability of each whole number, held against full forward passes of one row without a cache."""

import inspect
import math
from types import SimpleNamespace

import pytest
import torch
from judge_models import TOKENIZERS, save_judge
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from families import FAMILIES, family
from narrows.adapters import LoRA, SteeringVector
from narrows.chat import Message, Rendered
from narrows.errors import ModelError
from narrows.evaluation.llm import numbers
from narrows.evaluation.llm.scoring import Reply, verdict_of
from narrows.evaluation.llm.spellings import NumberTree
from narrows.microworld.shipped import shipped_model
from narrows.models import ChatModel, load_chat_model
from template_families import PLAIN, byte_tokenizer
from tiny_models import make_model

TEXTS = ["how good ?", "how how how good good good good ?", "good", "how ? " * 9]


def model_for(name):
    tokenizer = TOKENIZERS[name]()
    model = make_model(vocab_size=len(tokenizer) + 3, max_position_embeddings=512)
    return ChatModel.from_parts(model, tokenizer, name)


def asked(chat_model, texts=TEXTS):
    rows = [chat_model.renderer.prompt([Message("user", text)]) for text in texts]
    return [Rendered(ids, [False] * len(ids)) for ids in rows]


def by_hand(model, tree, prompt):
    """(numbers, others) as probabilities in fp64: a whole forward pass for every token of every spelling."""

    def after(path):
        if path not in seen:
            ids = torch.tensor([[*prompt.input_ids, *path]])
            with torch.no_grad():
                seen[path] = model(input_ids=ids, use_cache=False).logits[0, -1].double().softmax(-1)
        return seen[path]

    seen: dict = {}
    found, others = torch.zeros(101, dtype=torch.float64), after(()).clone()
    for path, number in tree.spellings.items():
        begins = math.prod(float(after(path[:place])[token]) for place, token in enumerate(path))
        longer = {one[len(path)] for one in tree.spellings if one[: len(path)] == path and one != path}
        share = begins * (1 - float(after(path)[sorted(longer)].sum())) if longer else begins
        found[number] += share
        others[path[0]] -= share
    return found, others


def check(chat_model, prompts, tree=None):
    """See that numbers and the rest are those found by hand, and return them."""
    tree = tree or NumberTree.of(chat_model.tokenizer)
    got = numbers.log_probabilities(chat_model, tree, prompts)
    assert got.numbers.dtype == got.others.dtype == torch.float32
    for row, prompt in enumerate(prompts):
        expected, others = by_hand(chat_model.model, tree, prompt)
        torch.testing.assert_close(got.numbers[row].double(), expected.log(), atol=1e-5, rtol=1e-6)
        torch.testing.assert_close(got.others[row].double().exp(), others, atol=1e-6, rtol=0)
        total = got.numbers[row].double().exp().sum()
        assert 0 < total < 1
        assert total + got.others[row].double().exp().sum() == pytest.approx(1, abs=1e-6)
    return got


@pytest.mark.parametrize("name", TOKENIZERS)
def test_numbers_are_those_of_the_chain_rule_in_a_padded_batch(name):
    chat_model = model_for(name)
    prompts = asked(chat_model)
    assert len({len(prompt) for prompt in prompts}) > 2
    check(chat_model, prompts)


def test_a_shipped_model_writes_digit_by_digit_and_is_read_right():
    chat_model = load_chat_model(shipped_model(1), device="cpu")
    check(chat_model, asked(chat_model, TEXTS[:2]))


@pytest.mark.parametrize("kind", ["steering", "lora"])
def test_an_attached_adapter_acts(kind):
    chat_model = model_for("bytes")
    generator = torch.Generator().manual_seed(1)
    if kind == "steering":
        adapter = SteeringVector(torch.randn(chat_model.hidden, generator=generator), layer=1, alpha=4.0)
    else:
        lora = LoRA.fresh(chat_model, rank=2, alpha=8.0, seed=1)
        adapter = lora.with_tensors(
            {name: torch.randn(one.shape, generator=generator) for name, one in lora.tensors().items()}
        )
    prompts = asked(chat_model)
    plain = check(chat_model, prompts).numbers
    with adapter.attach(chat_model.model):
        adapted = check(chat_model, prompts).numbers
    assert (adapted - plain).abs().amax() > 0.1


def with_absolute_positions():
    """A model that adds an embedding of each position, so that padding must not be counted."""
    sizes = {"vocab_size": 48, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 32}
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(CONFIG_MAPPING["gpt2"](initializer_range=0.2, **sizes)).eval()


@pytest.mark.parametrize("name", [*FAMILIES, "gpt2"])
def test_every_family_goes_on_from_its_cache(name):
    digits = {digit: 10 + int(digit) for digit in "0123456789"}
    spelt = {tuple(digits[digit] for digit in str(number)): number for number in range(101)}
    tree = NumberTree(spelt | {(30, *path): number for path, number in spelt.items()} | {(31,): 7})

    model = with_absolute_positions() if name == "gpt2" else family(name)
    bare = SimpleNamespace(model=model, device="cpu", pad_id=0, name=name)
    rows = [[5, 6, 7], [3, 4, 5, 6, 7, 8, 9, 40, 41], [44] * 6]
    check(bare, [Rendered(ids, [False] * len(ids)) for ids in rows], tree)


def test_how_many_rows_a_pass_has_changes_nothing(monkeypatch):
    chat_model = model_for("bytes")
    tree, prompts = NumberTree.of(chat_model.tokenizer), asked(chat_model)
    whole = numbers.log_probabilities(chat_model, tree, prompts)
    monkeypatch.setattr(numbers, "ROWS_AT_ONCE", 1)
    single = numbers.log_probabilities(chat_model, tree, prompts)
    torch.testing.assert_close(whole.numbers, single.numbers, atol=1e-5, rtol=0)


def test_the_prompt_is_read_once_and_its_logits_are_not_all_made(monkeypatch):
    chat_model = model_for("bytes")
    read, real = [], chat_model.model.forward

    def forward(**given):
        out = real(**given)
        read.append((tuple(given["input_ids"].shape), out.logits.shape[1]))
        return out

    forward.__signature__ = inspect.signature(real)
    monkeypatch.setattr(chat_model.model, "forward", forward)
    prompts = asked(chat_model)
    numbers.log_probabilities(chat_model, NumberTree.of(chat_model.tokenizer), prompts)
    assert read[0] == ((4, max(map(len, prompts))), 1)
    assert [shape for shape, _ in read[1:]] == [(4 * 16, 2), (4 * 2, 3)]


def test_a_model_that_says_85_is_read_as_85_and_what_stays_at_a_digit_as_that_digit(tmp_path):
    says = {"\n": {"8": 0.9, "R": 0.1}, "8": {"5": 0.8, "0": 0.1, ".": 0.1}, " ": {"7": 1.0}}
    chat_model = load_chat_model(save_judge(tmp_path, byte_tokenizer(PLAIN), says), device="cpu")
    tree = NumberTree.of(chat_model.tokenizer)
    (begun,) = numbers.beginnings(chat_model, tree, asked(chat_model, TEXTS[:1]), top=3)
    top = dict(begun.top)
    assert [math.exp(top[text]) for text in ("85", "80", "8", "R")] == pytest.approx([0.72, 0.09, 0.09, 0.1])
    assert begun.text == begun.top[0][0] == "85"
    assert verdict_of(Reply(begun.text, begun.top)) == pytest.approx((85 * 0.72 + 80 * 0.09 + 8 * 0.09) / 0.9)
    assert len(begun.top) == 101 + 3


def test_white_space_that_no_number_follows_keeps_its_own_probability(tmp_path):
    says = {"\n": {" ": 0.6, "4": 0.4}, " ": {"7": 0.5, "x": 0.5}, "7": {".": 1.0}, "4": {".": 1.0}}
    chat_model = load_chat_model(save_judge(tmp_path, byte_tokenizer(PLAIN), says), device="cpu")
    tree = NumberTree.of(chat_model.tokenizer)
    (begun,) = numbers.beginnings(chat_model, tree, asked(chat_model, TEXTS[:1]), top=2)
    top = dict(begun.top)
    assert [math.exp(top[text]) for text in ("7", " ", "4")] == pytest.approx([0.3, 0.3, 0.4])


def test_a_model_that_would_say_nothing_says_nothing(tmp_path):
    says = {"\n": {"<|end|>": 0.7, "4": 0.3}}
    chat_model = load_chat_model(save_judge(tmp_path, byte_tokenizer(PLAIN), says), device="cpu")
    tree = NumberTree.of(chat_model.tokenizer)
    (begun,) = numbers.beginnings(chat_model, tree, asked(chat_model, TEXTS[:1]), top=2)
    assert begun.text == ""
    assert math.exp(dict(begun.top)["<|end|>"]) == pytest.approx(0.7)


def test_broken_weights_are_named():
    chat_model = model_for("bytes")
    chat_model.model.lm_head.weight.fill_(math.nan)
    with pytest.raises(ModelError, match="bytes: its logits are not finite"):
        check(chat_model, asked(chat_model))
