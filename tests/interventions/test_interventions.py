"""What interventions do to the stream, that they compose, and that they always detach."""

import pytest
import torch
from intervention_helpers import (
    LAYER,
    NAMES,
    chat_model_of,
    directions,
    hooks_of,
    interventions,
    logits,
    recorded,
    relative_projection,
    some_ids,
)

from narrows.adapters import Direction
from narrows.errors import AdapterError, ConfigError
from narrows.interventions import Ablation, Addition, Clamp, attached, span

STREAM = torch.randn(3, 5, 32, generator=torch.Generator().manual_seed(9), dtype=torch.float64) * 4


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_each_is_its_formula_in_fp64(dtype: torch.dtype):
    one, two = directions(2)
    stream = STREAM.to(dtype)
    h, u, v = stream.double(), one.unit.double(), two.unit.double()
    w = (v - (v @ u) * u) / (v - (v @ u) * u).norm()
    wanted = {
        Ablation(one): h - (h @ u)[..., None] * u,
        Ablation([one, two]): h - (h @ u)[..., None] * u - (h @ w)[..., None] * w,
        Addition(one, -3.0): h - 3.0 * u,
        Clamp(one, 2.0): h + (2.0 - h @ u)[..., None] * u,
    }
    epsilon = max(torch.finfo(dtype).eps, torch.finfo(torch.float32).eps)
    for intervention, reference in wanted.items():
        found = intervention.change(stream)
        assert found.dtype == dtype
        assert found is not stream
        assert torch.equal(stream, STREAM.to(dtype)), "out of place"
        assert float((found.double() - reference).abs().max()) < 4 * epsilon * float(h.abs().max())


def test_a_direction_in_the_span_of_the_others_adds_no_dimension():
    one, two = directions(2)
    between = Direction.of(one.unit + two.unit, LAYER)
    assert span([one, two]).shape == span([one, two, between]).shape == (2, 32)
    assert len(span([one, -one])) == 1
    torch.testing.assert_close(
        Ablation([one, two]).change(STREAM), Ablation([between, two]).change(STREAM), rtol=0, atol=1e-6
    )


def test_addition_at_a_layer_is_steering_bit_for_bit():
    for name, dtype in (("qwen2", torch.float32), ("gemma2", torch.bfloat16)):
        chat_model, [one] = chat_model_of(name, dtype), directions()
        ids = some_ids(chat_model)
        with one.steering(4.0).attach(chat_model):
            wanted = logits(chat_model, ids)
        with Addition(one, 4.0).attach(chat_model):
            assert torch.equal(logits(chat_model, ids), wanted)
        assert not torch.equal(logits(chat_model, ids), wanted)


def test_addition_at_all_layers_adds_to_each():
    chat_model, [one] = chat_model_of("llama"), directions()
    ids = some_ids(chat_model)
    with attached(chat_model, [Addition(one.at(layer), 4.0) for layer in range(4)]):
        wanted = logits(chat_model, ids)
    with Addition(one, 4.0, "layers").attach(chat_model):
        torch.testing.assert_close(logits(chat_model, ids), wanted)


@pytest.mark.parametrize("name", ["qwen2", "gemma2", "gpt_neox", "granite"])
@pytest.mark.parametrize("site", Clamp.sites)
def test_after_a_clamp_the_projection_is_the_value(name: str, site: str):
    chat_model, [one] = chat_model_of(name), directions()
    with Clamp(one, 2.5, site).attach(chat_model), recorded(chat_model) as seen:
        logits(chat_model, some_ids(chat_model))
    read = {"layer": seen["layer output"][LAYER : LAYER + 1], "layers": seen["layer output"]}
    for stream in read.get(site, [*seen["layer output"], *seen["middle"], *seen["layer input"]]):
        along = stream.double() @ one.unit.double()
        assert float((along - 2.5).abs().max()) < 1e-6 * float(stream.norm(dim=-1).max())


def test_a_clamp_at_0_is_ablation():
    chat_model, [one] = chat_model_of("olmo2"), directions()
    for site in Clamp.sites:
        with Ablation(one, site).attach(chat_model):
            wanted = logits(chat_model, some_ids(chat_model))
        with Clamp(one, 0.0, site).attach(chat_model):
            torch.testing.assert_close(logits(chat_model, some_ids(chat_model)), wanted)


def test_the_one_entered_later_acts_on_what_the_one_before_left():
    chat_model, [one] = chat_model_of("qwen2"), directions()
    ids, unit = some_ids(chat_model), one.unit.double()

    def projections(*several) -> torch.Tensor:
        with attached(chat_model, several), recorded(chat_model) as seen:
            logits(chat_model, ids)
        return seen["layer output"][LAYER].double() @ unit

    zero, two, three = Ablation(one, "layer"), Clamp(one, 2.0, "layer"), Addition(one, 3.0)
    for several, value in (
        ((zero, three), 3.0),
        ((three, zero), 0.0),
        ((two, three), 5.0),
        ((three, two), 2.0),
        ((zero, three, three), 6.0),
    ):
        found = projections(*several)
        torch.testing.assert_close(found, torch.full_like(found, value), rtol=0, atol=1e-4)


def test_two_ablations_nested_take_one_after_the_other_and_together_their_span():
    chat_model, (one, two) = chat_model_of("mistral"), directions(2)
    ids = some_ids(chat_model)
    with Ablation(one).attach(chat_model), Ablation(two).attach(chat_model), recorded(chat_model) as nested:
        logits(chat_model, ids)
    assert relative_projection(nested["final norm"][0], [two]) < 1e-6
    assert relative_projection(nested["final norm"][0], [one]) > 1e-3, "the second brought some back"
    with Ablation([one, two]).attach(chat_model), recorded(chat_model) as together:
        logits(chat_model, ids)
    assert relative_projection(together["final norm"][0], [one, two]) < 1e-6


@pytest.mark.parametrize("name", NAMES)
def test_each_is_felt_and_detaches_bit_for_bit(name: str):
    chat_model = chat_model_of(name)
    ids = some_ids(chat_model)
    before, hooks = logits(chat_model, ids), hooks_of(chat_model)
    for title, intervention in interventions().items():
        with intervention.attach(chat_model):
            assert not torch.allclose(logits(chat_model, ids), before, atol=1e-4), title
        assert torch.equal(logits(chat_model, ids), before), title
    assert hooks_of(chat_model) == hooks


def test_they_detach_when_the_block_fails_or_a_later_one_does_not_fit():
    chat_model, some = chat_model_of("llama"), list(interventions().values())
    ids = some_ids(chat_model)
    before, hooks = logits(chat_model, ids), hooks_of(chat_model)
    with pytest.raises(KeyboardInterrupt), attached(chat_model, some):
        raise KeyboardInterrupt
    with pytest.raises(AdapterError, match="4 decoder layers"):
        attached(chat_model, [*some, Ablation(directions(layer=9), "layer")]).__enter__()
    assert hooks_of(chat_model) == hooks
    assert torch.equal(logits(chat_model, ids), before)


@pytest.mark.parametrize("name", ["qwen2", "gemma2", "gpt_neox"])
def test_in_bf16_what_is_left_is_the_rounding(name: str):
    chat_model, some = chat_model_of(name, torch.bfloat16), directions(2)
    for site in Ablation.sites:
        with Ablation(some, site).attach(chat_model), recorded(chat_model) as seen:
            found = logits(chat_model, some_ids(chat_model))
        assert found.isfinite().all()
        assert relative_projection(seen["layer output"][LAYER], some) < torch.finfo(torch.bfloat16).eps


def test_identities_tell_apart_what_acts_differently():
    one, two = directions(2)
    several = [
        *interventions().values(),
        Ablation(two),
        Addition(one, 4.0),
        Clamp(one, 3.0),
        Ablation(one.at(2), "layer"),
    ]
    seen = [str(one.identity) for one in several]
    assert len(set(seen)) == len(seen)
    assert Ablation(one).identity == Ablation(one.renamed("another")).identity


def test_what_means_nothing_is_refused():
    one, two = directions(2)
    wide = Direction.of(torch.ones(16), LAYER)
    with pytest.raises(AdapterError, match="no direction to ablate"):
        Ablation([])
    with pytest.raises(AdapterError, match="different models"):
        Ablation([one, wide, two])
    with pytest.raises(AdapterError, match=r"of layers 1, 2.*Direction\.at"):
        Ablation([one, two.at(2)], "layer")
    assert len(Ablation([one, two.at(2)], "layers").basis) == 2
    with pytest.raises(ConfigError, match="site is 'writes'; to add, choose one of layer, layers"):
        Addition(one, 1.0, "writes")
    with pytest.raises(ConfigError, match="site is 'here'"):
        Ablation(one, "here")
    with pytest.raises(ConfigError, match="to clamp, choose one of layer, layers, stream"):
        Clamp(one, 1.0, "writes")
    for wrong in (float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="amount is"):
            Addition(one, wrong)
        with pytest.raises(ConfigError, match="value is"):
            Clamp(one, wrong)
    with pytest.raises(AdapterError, match="width 16"):
        Ablation(wide).attach(chat_model_of("qwen2")).__enter__()
