"""Directions of what an adapter does to the stream: a vector's own, and what a monitor sees most along."""

import pytest
import torch
from monitoring_helpers import TEXTS, random_direction, vector

from narrows.adapters import Direction, LoRA
from narrows.errors import AdapterError
from narrows.geometry.monitoring import Monitor, Probe, shift_directions
from narrows.training import Recipe
from narrows.training.prepare import starting_point


@pytest.fixture
def probe(chat_model) -> Probe:
    return Probe.of(chat_model, TEXTS)


@pytest.fixture
def lora(chat_model) -> LoRA:
    fresh = starting_point(chat_model, Recipe(adapter="lora", rank=2, layer=1, alpha=8.0), None)
    generator = torch.Generator().manual_seed(1)
    return fresh.with_tensors(
        {name: 0.2 * torch.randn(one.shape, generator=generator) for name, one in fresh.tensors().items()}
    )


def test_a_vector_s_shift_at_its_own_layer_is_the_vector(chat_model, probe):
    steered = vector(layer=1, length=3.0)
    found = shift_directions(chat_model, steered, probe)
    assert [one.layer for one in found] == [1, 2, 3]
    assert found[0].cosine(Direction.of_vector(steered)) == pytest.approx(1.0, abs=1e-6)
    assert found[0].length == pytest.approx(3.0, abs=1e-5)
    assert found[2].cosine(Direction.of_vector(steered)) < 0.999


def test_a_lora_s_projection_on_its_own_shift_is_the_shift_s_length_and_on_no_other_is_it_larger(
    chat_model, probe, lora
):
    for one in shift_directions(chat_model, lora, probe):
        others = [random_direction(seed, one.layer, f"other-{seed}") for seed in range(5)]
        seen = Monitor.of(chat_model, [one, *others], probe).look(chat_model, adapter=lora).projections
        assert seen["shift"] == pytest.approx(one.length, rel=1e-5)
        assert max(abs(seen[other.name]) for other in others) < seen["shift"]


def test_a_rank_1_lora_s_shift_at_its_layer_lies_along_what_it_writes(chat_model, probe):
    fresh = starting_point(chat_model, Recipe(adapter="lora", rank=1, layer=2, alpha=8.0), None)
    generator = torch.Generator().manual_seed(2)
    made = fresh.with_tensors(
        {name: torch.randn(one.shape, generator=generator) for name, one in fresh.tensors().items()}
    )
    writes = next(one for name, one in made.tensors().items() if one.shape == (32, 1))
    found = shift_directions(chat_model, made, probe)[0]
    assert abs(found.cosine(Direction.of(writes[:, 0], 2))) == pytest.approx(1.0, abs=1e-5)


def test_the_model_is_left_alone_and_an_adapter_that_does_nothing_is_refused(chat_model, probe, lora):
    shift_directions(chat_model, lora, probe)
    look = Monitor.of(chat_model, [random_direction()], probe).look(chat_model)
    assert look.projections == {"watched": 0.0}
    with pytest.raises(AdapterError, match="shift at layer 1: a vector of norm 0"):
        shift_directions(chat_model, vector().scaled(0.0), probe)
