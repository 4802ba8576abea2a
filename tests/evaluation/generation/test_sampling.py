import numpy as np
import pytest
import torch
from scipy import stats

from narrows.errors import ConfigError, ModelError
from narrows.evaluation.generation.sampling import Decoding, StopStrings, TokenPicker, inverse_cdf, uniforms

VOCABULARY = 152_064


def picked(scores, draws, **options):
    """The tokens that greedy decoding takes after the picker; ``draws`` (rows,)."""
    picker = TokenPicker(Decoding(**options), 1, draws[:, None])
    return picker(torch.zeros(len(scores), 1, dtype=torch.long), scores.clone()).argmax(-1)


def test_each_token_is_drawn_as_often_as_the_model_says_down_to_the_rare_ones():
    logits = torch.tensor([4.0, 2.0, 0.0, -2.0, -4.0, -6.0])
    grid = (torch.arange(1_000_000, dtype=torch.float64) + 0.5) / 1_000_000
    for temperature in (1.0, 2.0):
        tokens = picked(logits.expand(len(grid), -1), grid, temperature=temperature)
        seen = torch.bincount(tokens, minlength=6) / len(grid)
        expected = (logits.double() / temperature).softmax(-1)
        assert torch.allclose(seen.double(), expected, atol=2e-6)  # the rarest has 4e-5
    drawn = uniforms(range(20_000), 1)[:, 0]
    counts = torch.bincount(picked(logits.expand(len(drawn), -1), drawn), minlength=6)
    assert stats.chisquare(counts, (logits.double().softmax(-1) * len(drawn)).numpy()).pvalue > 1e-3


def test_a_large_vocabularys_tail_keeps_its_probability():
    """A hundredth of the mass is spread over all tokens but one: fp32 sums would lose or move half of it."""
    probabilities = torch.full((1, VOCABULARY), 0.01 / (VOCABULARY - 1))
    probabilities[0, 0] = 0.99
    tokens = np.arange(1, 41) * 3800
    first, other = probabilities[0, :2].double().tolist()
    middles = (first + (tokens - 0.5) * other) / (first + (VOCABULARY - 1) * other)
    found = inverse_cdf(probabilities.expand(len(tokens), -1), torch.from_numpy(middles))
    assert found.tolist() == tokens.tolist()


def test_no_token_of_probability_zero_is_drawn_even_at_the_ends():
    probabilities = torch.tensor([[0.0, 0.3, 0.0, 0.7, 0.0]])
    ends = torch.tensor([0.0, 0.3 - 1e-9, 0.3 + 1e-7, 1.0 - 2.0**-53], dtype=torch.float64)
    assert inverse_cdf(probabilities.expand(4, -1), ends).tolist() == [1, 1, 3, 3]


def test_rows_are_drawn_alike_in_parts_and_at_once(monkeypatch):
    logits = torch.randn(7, 50, generator=torch.Generator().manual_seed(0)) * 3
    draws = uniforms(range(7), 1)[:, 0]
    whole = picked(logits, draws)
    monkeypatch.setattr("narrows.evaluation.generation.sampling.LOGITS_AT_ONCE", 120)  # two rows at a time
    assert torch.equal(picked(logits, draws), whole)
    assert len(set(whole.tolist())) > 2


def test_top_p_and_top_k_leave_out_the_unlikely():
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    grid = torch.linspace(0, 0.999, 2000, dtype=torch.float64)
    rows = logits.expand(len(grid), -1)
    assert set(picked(rows, grid, top_p=0.7).tolist()) == {0, 1}
    assert set(picked(rows, grid, top_k=3).tolist()) == {0, 1, 2}
    assert set(picked(rows, grid).tolist()) == {0, 1, 2, 3}


def test_log_probabilities_are_the_models_own_whatever_the_temperature():
    logits = torch.randn(3, 40, generator=torch.Generator().manual_seed(1)) * 5
    picker = TokenPicker(Decoding(temperature=0.3, top_k=2, top_logprobs=4), 1, uniforms(range(3), 1))
    tokens = picker(torch.zeros(3, 1, dtype=torch.long), logits.clone()).argmax(-1)
    expected = logits.double().log_softmax(-1)
    ((own, logprobs, likeliest, values),) = picker.logprobs
    assert torch.equal(own, tokens)
    assert torch.allclose(logprobs.double(), expected.gather(1, tokens[:, None])[:, 0], atol=1e-5)
    assert torch.equal(likeliest, expected.topk(4, dim=-1).indices)
    assert torch.allclose(values.double(), expected.topk(4, dim=-1).values, atol=1e-5)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logits_that_are_not_finite_are_told_and_not_drawn_from(bad, temperature):
    draws = uniforms(range(2), 2) if temperature else None
    picker = TokenPicker(Decoding(temperature=temperature), 1, draws)
    scores = torch.zeros(2, 5)
    picker(torch.zeros(2, 1, dtype=torch.long), scores.clone())
    picker.check("tiny")
    scores[1, 3] = bad
    picker(torch.zeros(2, 2, dtype=torch.long), scores)
    with pytest.raises(ModelError, match="tiny: its logits are not finite"):
        picker.check("tiny")


def test_random_numbers_depend_on_the_key_alone_and_a_longer_row_begins_with_a_shorter():
    both = uniforms([[0, "open", "a", 0], [0, "open", "a", 1]], 6)
    assert torch.equal(uniforms([[0, "open", "a", 1]], 4)[0], both[1, :4])
    assert not torch.equal(both[0], both[1])


def test_a_row_is_done_once_a_stop_string_is_in_its_answer_and_not_in_its_prompt(chat_model):
    ids = [chat_model.tokenizer(text)["input_ids"] for text in ("one two three sea", "sea one two three")]
    done = StopStrings(chat_model.tokenizer, ("sea",), 2)
    assert done(torch.tensor(ids), None).tolist() == [True, False]


@pytest.mark.parametrize(
    "options",
    [
        {"max_new_tokens": 0}, {"temperature": -0.1}, {"temperature": float("nan")}, {"top_p": 0.0},
        {"top_p": 1.1}, {"top_k": 0}, {"top_logprobs": -1}, {"stop_strings": ("a", "")},
    ],
)  # fmt: skip
def test_a_decoding_out_of_range_is_refused_by_name(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        Decoding(**options)
