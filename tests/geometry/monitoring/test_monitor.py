"""A monitor's projections against hand computations; padding, files, and what it cannot see."""

import json
import logging

import pytest
import torch
from monitoring_helpers import TEXTS, looks, monitor, random_direction, vector

from families import FAMILIES, family
from narrows.adapters import Direction, LoRA
from narrows.chat import Conversation
from narrows.errors import AdapterError, ConfigError, DataError
from narrows.geometry.monitoring import Monitor, Probe
from narrows.geometry.monitoring.probe import BATCH
from narrows.models import ChatModel
from narrows.training import Recipe
from narrows.training.prepare import starting_point


def low_rank(chat_model: ChatModel, layer: int = 1) -> LoRA:
    """A LoRA that does something."""
    recipe = Recipe(adapter="lora", rank=2, layer=layer, alpha=8.0)
    fresh = starting_point(chat_model, recipe, None)
    generator = torch.Generator().manual_seed(1)
    return fresh.with_tensors(
        {name: 0.2 * torch.randn(one.shape, generator=generator) for name, one in fresh.tensors().items()}
    )


def by_hand(chat_model: ChatModel, layer: int, adapter=None) -> torch.Tensor:
    """The mean stream after a layer, row by row without padding, first tokens left out, (hidden,)."""
    streams = []
    handle = None
    if adapter is not None:
        context = adapter.attach(chat_model.model)
        context.__enter__()
    handle = chat_model.model.model.layers[layer].register_forward_hook(
        lambda module, inputs, output: streams.append(output[0] if isinstance(output, tuple) else output)
    )
    with torch.no_grad():
        for text in TEXTS:
            chat_model.model(input_ids=torch.tensor([chat_model.renderer.text(text).input_ids]))
    handle.remove()
    if adapter is not None:
        context.__exit__(None, None, None)
    return torch.cat([one[0, 1:].double() for one in streams]).mean(dim=0)


@pytest.mark.parametrize("layer", [1, 3])
def test_a_vector_along_a_direction_at_its_layer_is_its_norm_times_the_cosine(chat_model, layer):
    direction, steered = random_direction(0, layer), vector(5, layer, length=3.0)
    found = monitor(chat_model, direction).look(chat_model, adapter=steered).projections["watched"]
    assert found == pytest.approx(3.0 * direction.cosine(Direction.of_vector(steered)), abs=1e-5)
    own = Direction.of_vector(steered).renamed("own")
    assert monitor(chat_model, own).look(chat_model, adapter=steered).projections["own"] == pytest.approx(
        3.0, abs=1e-5
    )


@pytest.mark.parametrize("layer", [1, 2, 3])
@pytest.mark.parametrize("kind", ["steering", "lora"])
def test_a_projection_is_the_one_computed_by_hand(chat_model, kind, layer):
    adapter = vector(length=20.0) if kind == "steering" else low_rank(chat_model)
    direction = random_direction(3, layer)
    effect = by_hand(chat_model, layer, adapter) - by_hand(chat_model, layer)
    wanted = float(effect @ direction.unit.double())
    assert abs(wanted) > 0.05
    watched = monitor(chat_model, direction)
    assert watched.look(chat_model, adapter=adapter).projections["watched"] == pytest.approx(wanted, abs=1e-4)
    assert watched.share("watched", wanted) == pytest.approx(wanted / watched.chat[layer].norm)


def test_a_fine_tune_s_weights_are_looked_at_like_an_adapter(chat_model):
    lora = low_rank(chat_model)
    watched = monitor(chat_model, random_direction(3, 2))
    wanted = watched.look(chat_model, adapter=lora).projections
    with lora.attach(chat_model.model):
        assert watched.look(chat_model.model).projections == wanted
    assert watched.look(chat_model.model).projections == {"watched": 0.0}


def test_batches_and_padding_change_nothing(chat_model):
    direction, adapter = random_direction(3, 2), vector(length=20.0)
    many = [*TEXTS, *(text + " good" for text in TEXTS)] * 4
    assert len(many) > BATCH
    whole = Monitor.of(chat_model, [direction], Probe.of(chat_model, many))
    alone = [Monitor.of(chat_model, [direction], Probe.of(chat_model, [text])) for text in many]
    values = [one.look(chat_model, adapter=adapter).projections["watched"] for one in alone]
    weights = [one.probe.tokens for one in alone]
    mean = sum(value * weight for value, weight in zip(values, weights, strict=True)) / sum(weights)
    assert whole.look(chat_model, adapter=adapter).projections["watched"] == pytest.approx(mean, abs=1e-4)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_gives_the_vector_s_own_projection(name):
    model = family(name)
    probe = Probe(((3, 4, 5, 6, 7), (8, 9), (10, 11, 12)))
    from narrows.geometry.monitoring.stream import mean_streams

    steered = vector(layer=2, length=2.0)
    before = mean_streams(model, probe, [1, 2])
    with steered.attach(model):
        after = mean_streams(model, probe, [1, 2])
    torch.testing.assert_close(after[2].mean - before[2].mean, steered.effective.double(), atol=1e-5, rtol=0)
    assert torch.equal(after[1].mean, before[1].mean)


def test_prompts_end_where_the_assistant_begins_and_chats_are_read_whole(chat_model):
    prompt = Conversation.from_pair("what is the sea ?")
    chat = Conversation.from_pair("what is the sea ?", "it is blue .")
    probe = Probe.of(chat_model, [prompt, chat])
    assert list(probe.rows[0]) == chat_model.renderer.prompt(prompt.messages)
    assert list(probe.rows[1]) == chat_model.renderer.render(chat).input_ids
    assert probe.digest != Probe.of(chat_model, [prompt]).digest
    with pytest.raises(DataError, match=r"row 1 .* 1 token"):
        Probe(((3,),))
    with pytest.raises(DataError, match="at least one row"):
        Probe.of(chat_model, [])


def test_a_monitor_is_the_same_after_it_was_saved(chat_model, tmp_path):
    made = monitor(chat_model, random_direction(0), random_direction(1, 3, "deeper"))
    benign = {str(run): [*_two(0, 0), *_two(run, run % 3, 5)] for run in range(5)}
    made = made.with_benign(benign, 0.2)
    found = Monitor.load(made.save(tmp_path / "monitor.json"))
    assert found.look(chat_model, 4, vector()) == made.look(chat_model, 4, vector())
    assert (found.probe, found.model_id, found.calibration) == (made.probe, made.model_id, made.calibration)
    assert json.loads((tmp_path / "monitor.json").read_text())["probe"]["digest"] == made.probe.digest
    for file in ("monitor.json", "monitor.safetensors"):
        kept = (tmp_path / file).read_bytes()
        (tmp_path / file).write_bytes(kept[: len(kept) // 2])
        with pytest.raises(AdapterError, match="monitor"):
            Monitor.load(tmp_path / "monitor.json")
        (tmp_path / file).write_bytes(kept)
    with pytest.raises(ConfigError, match=r"ends in \.json"):
        made.save(tmp_path / "monitor")


def _two(one: float, other: float, step: int = 0):
    from narrows.geometry.monitoring import Look

    return [Look(step, {"watched": float(one), "deeper": float(other)})]


def test_what_lies_below_the_training_is_said_to_be_blind(chat_model, caplog):
    trajectory = {0: vector(layer=2).scaled(0.0), 5: vector(layer=2)}
    with pytest.raises(ConfigError, match=r"watched \(layer 1\).*below layer 2.*0 by construction"):
        monitor(chat_model, random_direction(layer=1)).watch(chat_model, trajectory)
    both = monitor(chat_model, random_direction(layer=1), random_direction(1, 3, "deeper"))
    with caplog.at_level(logging.WARNING):
        found = both.watch(chat_model, trajectory)
    assert "watched (layer 1): below layer 2" in caplog.text
    assert [look.projections["watched"] for look in found] == [0.0, 0.0]
    assert found[0].projections["deeper"] == 0.0 != found[1].projections["deeper"]


def test_another_model_another_width_and_two_of_one_name_are_refused(chat_model):
    watched = monitor(chat_model)
    other = ChatModel.from_parts(family("qwen2"), chat_model.tokenizer, "other")
    with pytest.raises(ConfigError, match="another model"):
        watched.watch(other, {0: vector()})
    with pytest.raises(ConfigError, match="two directions are called watched"):
        monitor(chat_model, random_direction(0), random_direction(1))
    with pytest.raises(AdapterError, match="width 8"):
        monitor(chat_model, Direction.of(torch.ones(8), 1))
    with pytest.raises(ConfigError, match="at least one direction"):
        Monitor.of(chat_model, [], Probe(((1, 2),)))


def test_without_benign_runs_there_is_a_score_but_no_alarm(chat_model):
    watched = monitor(chat_model)
    assert watched.score(looks(0.0, 2.0)[1]) == 2.0
    with pytest.raises(ConfigError, match="no threshold: calibrate"):
        watched.alarm(looks(0.0, 2.0))
    with pytest.raises(ConfigError, match="only after calibration"):
        monitor(chat_model, random_direction(0), random_direction(1, 3, "deeper")).score(_two(1, 1)[0])
