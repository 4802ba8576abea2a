"""Where each family writes and reads, and that an ablation leaves nothing there."""

import pytest
import torch
from intervention_helpers import (
    LAYER,
    NAMES,
    POST_NORM,
    adapters,
    chat_model_of,
    directions,
    logits,
    recorded,
    relative_projection,
    some_ids,
)
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from families import FAMILIES, SMALL
from narrows.adapters import Direction
from narrows.errors import AdapterError
from narrows.interventions import Ablation, attached
from narrows.interventions.places import find_places

PLACES = {
    "layer": (),
    "layers": ("layer output", "final norm"),
    "writes": ("write", "layer input", "layer output", "final norm", "middle"),
    "stream": ("layer input", "middle", "layer output", "final norm"),
}


def test_every_family_is_looked_at():
    assert {name.partition(" ")[0] for name in NAMES} == set(FAMILIES)


@pytest.mark.parametrize("name", NAMES)
def test_what_enters_and_all_writes_are_the_final_stream(name: str):
    chat_model = chat_model_of(name)
    places = find_places(chat_model.model)
    with recorded(chat_model) as seen:
        logits(chat_model, some_ids(chat_model))
    factors = [layer.factor for layer in places.layers for _ in layer.writes]
    assert factors == pytest.approx([0.5 if name == "granite" else 1.0] * 8)
    total = seen["layer input"][0].double()
    for factor, write in zip(factors, seen["write"], strict=True):
        total = total + factor * write.double()
    torch.testing.assert_close(seen["final norm"][0].double(), total, rtol=1e-5, atol=1e-5)
    embedded = chat_model.model.get_input_embeddings()(some_ids(chat_model))
    torch.testing.assert_close(seen["layer input"][0], places.embedding_factor * embedded)


@pytest.mark.parametrize("name", NAMES)
def test_the_second_sub_block_reads_between_unless_both_read_the_input(name: str):
    places = find_places(chat_model_of(name).model)
    assert {len(layer.middle) for layer in places.layers} == {int(name not in ("gpt_neox", "cohere"))}
    norms = [type(module).__name__.endswith("Norm") for layer in places.layers for module in layer.writes]
    assert set(norms) == {name in POST_NORM}


@pytest.mark.parametrize("site", PLACES)
@pytest.mark.parametrize("name", NAMES)
def test_ablation_leaves_nothing_at_any_place_of_its_site(name: str, site: str):
    chat_model, some = chat_model_of(name), directions(3)
    ids = some_ids(chat_model)
    with recorded(chat_model) as before:
        logits(chat_model, ids)
    with attached(chat_model, [Ablation(some, site)]), recorded(chat_model) as seen:
        logits(chat_model, ids)
    for place in PLACES[site]:
        assert len(seen[place]) == len(before[place])
        assert [s for s in before[place] if relative_projection(s, some) < 0.05] == []
        assert max((relative_projection(s, some) for s in seen[place]), default=0.0) < 1e-6, place
    assert relative_projection(seen["layer output"][LAYER], some) < 1e-6
    others = [seen["layer output"][layer] for layer in range(4) if layer != LAYER]
    if site == "layer":
        assert min(relative_projection(one, some) for one in others) > 0.01


@pytest.mark.parametrize("name", ["qwen2", "gemma2", "cohere"])
@pytest.mark.parametrize("site", ["layers", "stream"])
def test_an_adapter_is_ablated_too_whoever_was_attached_first(name: str, site: str):
    chat_model, some = chat_model_of(name), directions(1)
    ids, ablation = some_ids(chat_model), Ablation(directions(1), site)
    for adapter in adapters(chat_model):
        with adapter.attach(chat_model), ablation.attach(chat_model), recorded(chat_model) as seen:
            first = logits(chat_model, ids)
        assert max(relative_projection(one, some) for one in seen["layer output"]) < 1e-6
        with ablation.attach(chat_model), adapter.attach(chat_model):
            assert torch.equal(logits(chat_model, ids), first)
        with adapter.attach(chat_model):
            assert not torch.allclose(logits(chat_model, ids), first, atol=1e-3)


@pytest.mark.parametrize("name", ["qwen2", "gemma2", "cohere", "granite"])
def test_places_are_found_whatever_is_attached(name: str):
    chat_model = chat_model_of(name)
    bare = find_places(chat_model.model)
    for adapter in adapters(chat_model):
        for site in PLACES:
            with adapter.attach(chat_model), Ablation(directions(2), site).attach(chat_model):
                found = find_places(chat_model.model)
            assert [(x.writes, x.middle) for x in found.layers] == [(x.writes, x.middle) for x in bare.layers]


def test_what_a_vector_adds_at_a_layer_is_no_write():
    chat_model = chat_model_of("qwen2")
    one = Direction.of(torch.ones(32), LAYER)
    acting = [one.steering(5.0), Ablation(one, "writes")]
    with attached(chat_model, acting), recorded(chat_model) as seen:
        logits(chat_model, some_ids(chat_model))
    along = seen["final norm"][0].double() @ one.unit.double()
    torch.testing.assert_close(along, torch.full_like(along, 5.0), rtol=1e-5, atol=1e-5)


def test_a_mixture_of_experts_writes_as_one():
    config = CONFIG_MAPPING["mixtral"](**SMALL, num_local_experts=4)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)
    places = find_places(model).layers
    assert [len(layer.writes) for layer in places] == [2] * 4
    assert [[source is None for source in layer.sources] for layer in places] == [[False, True]] * 4


def test_a_layer_that_adds_more_than_its_parts_give_is_refused_with_a_way_out(monkeypatch):
    chat_model = chat_model_of("llama")
    layer = chat_model.model.model.layers[2]
    whole = type(layer).forward
    monkeypatch.setattr(layer, "forward", lambda h, **more: whole(layer, h, **more) + 0.1 * h.roll(1, -1))
    for site in ("writes", "stream"):
        with pytest.raises(AdapterError, match=r"decoder layer 2 .*tried self_attn, mlp.* `layers`"):
            Ablation(directions(), site).attach(chat_model).__enter__()
    with Ablation(directions(), "layers").attach(chat_model):
        logits(chat_model, some_ids(chat_model))
