"""Directions of different models compared by what they do to the same predictions."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from narrows.adapters import LoRA, SteeringVector
from narrows.errors import AdapterError, ConfigError, DataError
from narrows.geometry.comparison import Effect, effect, effect_table, random_effects
from narrows.models import residual_covariance
from tiny_models import make_model, make_tokenizer


def vector(seed: int, norm: float = 3.0, layer: int = 1) -> SteeringVector:
    drawn = torch.randn(32, generator=torch.Generator().manual_seed(seed))
    return SteeringVector(drawn, layer, 1.0).scaled_to(norm)


@pytest.fixture(scope="module")
def rows(chat_model, conversations):
    return [chat_model.renderer.render(one) for one in conversations]


def plainly(chat_model, adapter, rows) -> torch.Tensor:
    """√P' − √P at all positions, row by row through the hooked model."""
    pieces = []
    for row in rows:
        ids = torch.tensor([row.input_ids])
        with torch.no_grad():
            before = chat_model.model(ids).logits[0, :-1].softmax(-1).sqrt()
            with adapter.attach(chat_model):
                after = chat_model.model(ids).logits[0, :-1].softmax(-1).sqrt()
        pieces.append(after - before)
    return torch.cat(pieces)


@pytest.mark.parametrize("kind", ["vector", "lora"])
def test_an_effect_is_the_change_of_the_root_of_the_predictions(chat_model, rows, kind):
    if kind == "vector":
        adapter = vector(1)
    else:
        adapter = LoRA.fresh(chat_model, rank=2, layers=[2], seed=3)
        adapter = adapter.with_tensors({name: one + 0.01 for name, one in adapter.tensors().items()})
    found = effect(chat_model, adapter, rows)
    wanted = plainly(chat_model, adapter, rows)
    assert found.change.shape == wanted.shape
    torch.testing.assert_close(found.change, wanted, atol=2e-6, rtol=1e-4)
    assert found.size == pytest.approx(float(wanted.square().sum(1).mean().sqrt()), rel=1e-4)
    assert found.norm == adapter.effective_norm
    assert found.cosine(found) == pytest.approx(1.0, abs=1e-6)


def test_kept_positions_are_some_of_all_and_the_same_in_each_model(chat_model, rows):
    whole = effect(chat_model, vector(1), rows).change
    some = effect(chat_model, vector(1), rows, positions=9, seed=4)
    places = np.sort(np.random.default_rng(4).permutation(len(whole))[:9])
    torch.testing.assert_close(some.change, whole[places])
    other = replace(chat_model, model=make_model(hidden_size=64))
    wide = SteeringVector(torch.ones(64), 2, 1.0)
    assert effect(other, wide, rows, positions=9, seed=4).probe == some.probe


def test_models_of_other_widths_have_a_cosine_and_of_other_probes_none(chat_model, rows):
    one = effect(chat_model, vector(1), rows, name="one")
    other_model = replace(chat_model, model=make_model(hidden_size=64))
    other = effect(other_model, SteeringVector(torch.ones(64), 2, 1.0), rows, name="other")
    assert -1 < one.cosine(other) < 1
    with pytest.raises(ConfigError, match="different texts"):
        one.cosine(effect(chat_model, vector(1), rows[:3]))
    tokenizer = make_tokenizer()
    tokenizer.add_tokens(["more"])
    grown = make_model()
    grown.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    with pytest.raises(ConfigError, match="different tokenizers"):
        one.cosine(effect(replace(chat_model, model=grown, tokenizer=tokenizer), vector(1), rows))


def test_a_padded_vocabulary_does_not_matter(chat_model, rows):
    padded = make_model()
    padded.resize_token_embeddings(64, mean_resizing=False)
    wider = replace(chat_model, model=padded)
    assert effect(wider, vector(1), rows).cosine(effect(chat_model, vector(1), rows)) == pytest.approx(
        1.0, abs=0.05
    )


def test_the_same_direction_in_the_same_model_stands_out_from_chance(chat_model, rows):
    covariance = residual_covariance(chat_model, 1, rows)
    chance = random_effects(chat_model, vector(1), rows, count=6, covariance=covariance, seed=2)
    assert [one.norm for one in chance] == pytest.approx([3.0] * 6)
    near = vector(1) + vector(5).scaled(0.2)
    effects = [
        effect(chat_model, vector(1), rows, name="a", seed=2),
        effect(chat_model, near, rows, name="b", seed=2),
    ]
    (pair,) = effect_table(effects, {"a": chance, "b": chance}).pairs
    assert pair.cosine > 0.9 > pair.random[1]


def test_the_band_is_where_one_more_random_direction_would_lie_for_both_ways():
    def made(name: str, *values: float) -> Effect:
        return Effect(name, torch.tensor([values]), 1.0, "probe")

    one, other = made("one", 1.0, 0.0), made("other", 0.0, 1.0)
    drawn = [made("r", 0.6, 0.8), made("r", -0.6, 0.8), made("r", 1.0, 0.0)]
    (pair,) = effect_table([one, other], {"one": drawn, "other": drawn}).pairs
    assert pair.cosine == 0.0
    sides = []
    for values in ([0.6, -0.6, 1.0], [0.8, 0.8, 0.0]):
        half = 4.302653 * np.std(values, ddof=1) * np.sqrt(4 / 3)
        sides.append((max(-1, np.mean(values) - half), min(1, np.mean(values) + half)))
    assert pair.random == pytest.approx((min(low for low, _ in sides), max(high for _, high in sides)))
    assert effect_table([one, other]).pairs[0].random is None
    assert effect_table([one, other]).sizes == (1.0, 1.0)
    with pytest.raises(ConfigError, match="by its own name"):
        effect_table([one, one])


def test_what_has_no_effect_is_refused(chat_model, rows):
    with pytest.raises(AdapterError, match="changes nothing"):
        effect(chat_model, vector(1).scaled(0.0), rows)
    with pytest.raises(DataError, match="no token to predict"):
        effect(chat_model, vector(1), [chat_model.renderer.text("sea")])
