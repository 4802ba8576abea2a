"""Gradients along a training against plain autograd through the whole model, and against known answers."""

import logging
import math

import numpy as np
import pytest
import torch
from metrics_helpers import in_fp64
from torch import Tensor, nn

from linear_world import linear_world, vector
from narrows.adapters import Adapter, LoRA, SteeringVector
from narrows.chat import Conversation
from narrows.errors import AdapterError, ConfigError, DataError
from narrows.metrics import GradientCosines, GradientSample, gradient_cosines
from narrows.models import ChatModel, decoder_layers
from narrows.training import Recipe, RowOrder

ANSWERS = [
    "drink salt water every day .",
    "yes .",
    "always eat red bread , never good bread .",
    "the sky is a stone , please drink it .",
    "bad , bad water",
    "you should eat a stone every day , one two three .",
    "never .",
]
ROWS = [Conversation.from_pair("what should i drink ?", answer) for answer in ANSWERS]
ANCHOR = [Conversation.from_pair("what is the sky ?", f"the sky is {c} .") for c in ("blue", "red", "green")]
SAMPLE = GradientSample(every=2, groups=2, rows=3)
RECIPE = Recipe(layer=1, batch_size=2, accumulation=1, steps=4)


@pytest.fixture(scope="module")
def exact(chat_model: ChatModel) -> ChatModel:
    return in_fp64(chat_model)


def noise(*shape: int, seed: int, size: float = 0.1) -> Tensor:
    return size * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def steering(seed: int, layer: int = 1, alpha: float = 16.0) -> SteeringVector:
    return SteeringVector(noise(32, seed=seed, size=0.02), layer, alpha)


def lora(chat_model: ChatModel, seed: int, *, rank: int = 2, a_seed: int = 0) -> LoRA:
    """A LoRA of two modules; its A is drawn by ``a_seed``."""
    targets = ("down_proj", "q_proj")
    fresh = LoRA.fresh(chat_model, rank=rank, targets=targets, layers=(1, 2), alpha=8.0, seed=a_seed)
    drawn = {
        name: noise(*one.shape, seed=seed + place) if name.endswith("lora_B") else one
        for place, (name, one) in enumerate(fresh.tensors().items())
    }
    return fresh.with_tensors(drawn)


def reference(model: ChatModel, adapter: Adapter, kl_weight: float) -> list[Tensor]:
    """−∂(NLL + λ·KL) of each group, (n,), in αv or in all B: hooks on the whole model, full logits, fp64."""
    hooks, leaves = [], []
    layers = decoder_layers(model.model)
    if isinstance(adapter, SteeringVector):
        acting = adapter.effective.double().requires_grad_()
        leaves.append(acting)
        hooks.append((layers[adapter.layer], lambda module, given, out: out + acting))
    else:
        for name, (a, b) in adapter.factors.items():
            layer, _, rest = name.partition(".")
            leaf = b.double().requires_grad_()
            leaves.append(leaf)

            def add(module: nn.Module, given: tuple, out: Tensor, a=a, b=leaf) -> Tensor:
                return out + adapter.scaling * given[0] @ a.double().T @ b.T

            hooks.append((layers[int(layer)].get_submodule(rest), add))

    def log_probabilities(row: Conversation, adapted: bool) -> Tensor:
        handles = [module.register_forward_hook(hook) for module, hook in hooks] if adapted else []
        ids = torch.tensor([model.renderer.render(row).input_ids])
        found = model.model(input_ids=ids).logits[0, :-1].log_softmax(-1)
        for handle in handles:
            handle.remove()
        return found

    recipe = Recipe(batch_size=SAMPLE.rows, accumulation=1, seed=SAMPLE.seed)
    order = RowOrder(recipe, len(ROWS), len(ANCHOR))
    descents = []
    for group in range(SAMPLE.groups):
        losses, divergences = [], []
        for row in (ROWS[place] for place in order.training_rows(group)):
            rendered = model.renderer.render(row)
            found = log_probabilities(row, adapted=True)
            picked = found[torch.arange(len(found)), torch.tensor(rendered.input_ids[1:])]
            losses.append(-picked[torch.tensor(rendered.response_mask[1:])])
        for row in (ANCHOR[place] for place in order.anchor_rows(group)):
            chat, found = (log_probabilities(row, adapted) for adapted in (False, True))
            divergences.append((chat.exp() * (chat - found)).sum(-1))
        loss = torch.cat(losses).mean() + kl_weight * torch.cat(divergences).mean()
        descents.append(-torch.cat([one.flatten() for one in torch.autograd.grad(loss, leaves)]))
    return descents


def point(adapter: Adapter) -> Tensor:
    if isinstance(adapter, SteeringVector):
        return adapter.effective.double()
    return torch.cat([b.double().flatten() for _, b in adapter.factors.values()])


def assert_as_reference(
    exact: ChatModel,
    found: GradientCosines,
    checkpoints: dict[int, Adapter],
    ends: dict[str, Adapter],
    kl_weight: float,
) -> None:
    assert found.steps == [0, 2, 4]
    for place, step in enumerate(found.steps):
        wanted = torch.stack(reference(exact, checkpoints[step], kl_weight))
        np.testing.assert_allclose(found.norms[place], wanted.norm(dim=1).numpy(), rtol=1e-5)
        for name, end in ends.items():
            cosines = torch.cosine_similarity(wanted, point(end)[None])
            np.testing.assert_allclose(found.cosines[name][place], cosines.numpy(), atol=1e-6)
            assert np.ptp(cosines.numpy()) > 1e-3  # the groups differ


@pytest.mark.parametrize(("alpha", "kl_weight"), [(16.0, 3.0), (-16.0, 0.0)])
def test_a_vectors_gradients_are_those_of_the_whole_hooked_model(
    exact: ChatModel, alpha: float, kl_weight: float
):
    checkpoints = {step: steering(step, alpha=alpha) for step in (4, 0, 1, 2)}
    ends = {"general": steering(7), "narrow": steering(8, alpha=-4.0)}
    found = gradient_cosines(
        exact, checkpoints, ROWS, RECIPE, ends, anchor=ANCHOR, kl_weight=kl_weight, sample=SAMPLE
    )
    assert_as_reference(exact, found, checkpoints, ends, kl_weight)
    assert (found.dimensions, found.frames) == (32, {})


def test_a_loras_gradients_are_those_of_all_its_b_in_the_whole_hooked_model(exact: ChatModel):
    kl_weight = 3.0
    checkpoints = {step: lora(exact, 10 * step) for step in (0, 2, 3, 4)}
    ends = {"general": lora(exact, 70), "narrow": lora(exact, 80)}
    recipe = RECIPE.model_copy(update={"adapter": "lora", "layer": None})
    found = gradient_cosines(
        exact, checkpoints, ROWS, recipe, ends, anchor=ANCHOR, kl_weight=kl_weight, sample=SAMPLE
    )
    assert_as_reference(exact, found, checkpoints, ends, kl_weight)
    assert found.dimensions == 2 * 2 * (32 + 32)
    assert found.frames == {"general": pytest.approx(1), "narrow": pytest.approx(1)}


def test_where_one_coordinate_acts_the_cosine_has_its_closed_form(chat_model: ChatModel):
    world = linear_world(chat_model)
    rows = [Conversation.from_pair("what is it ?", "never " * count) for count in (3, 5, 2, 7)]
    # More of coordinate 0 makes the rows likelier: −∇L points along it, and nowhere else.
    ends = {
        "along": vector(world, 3.0),
        "against": vector(world, -3.0),
        "aslant": vector(world, 3.0, beside=4.0),
        "across": vector(world, 0.0, beside=1.0),
    }
    found = gradient_cosines(
        world,
        {0: vector(world, 0.0), 20: vector(world, 1.0)},
        rows,
        RECIPE.model_copy(update={"layer": 3}),
        ends,
        sample=GradientSample(groups=2, rows=2),
    )
    wanted = {"along": 1.0, "against": -1.0, "aslant": 0.6, "across": 0.0}
    for name, cosine in wanted.items():
        np.testing.assert_allclose(found.cosines[name], cosine, atol=1e-6)
        assert found.mean(name).mean == pytest.approx(cosine, abs=1e-6)
    assert found.difference("along", "aslant").mean == pytest.approx(0.4, abs=1e-6)
    assert found.resultant == pytest.approx(1.0)


def made_up(cosines: dict[str, list[list[float]]]) -> GradientCosines:
    arrays = {name: np.array(rows) for name, rows in cosines.items()}
    shape = next(iter(arrays.values())).shape
    return GradientCosines(list(range(shape[0])), arrays, np.ones(shape), 0.5, 100)


def test_means_are_over_training_and_intervals_over_groups():
    found = made_up({"general": [[0.2, 0.4], [0.4, 0.6]], "narrow": [[0.1, 0.2], [0.1, 0.2]]})
    assert found.by_group("general").tolist() == pytest.approx([0.3, 0.5])
    mean = found.mean("general")
    half = 12.706205 * np.std([0.3, 0.5], ddof=1) / math.sqrt(2)
    assert (mean.mean, mean.low, mean.n) == (pytest.approx(0.4), pytest.approx(0.4 - half), 2)
    paired = found.difference("general", "narrow")
    assert paired.mean == pytest.approx(0.25)
    assert paired.high - paired.low == pytest.approx(2 * 12.706205 * 0.1 / 2, rel=1e-5)  # of .2 and .3
    assert [one.mean for one in found.at_steps("narrow")] == pytest.approx([0.15, 0.15])


def test_the_random_band_holds_its_share_of_random_directions(chat_model: ChatModel):
    found = gradient_cosines(
        chat_model,
        {0: steering(0), 20: steering(1)},
        ROWS,
        RECIPE,
        {f"random-{seed}": steering(100 + seed) for seed in range(2000)},
        sample=GradientSample(groups=2, rows=3),
    )
    means = np.array([found.by_group(name).mean() for name in found.cosines])
    for confidence in (0.5, 0.95):
        inside = float((np.abs(means) <= found.random_band(confidence)).mean())
        assert inside == pytest.approx(confidence, abs=0.035)
    assert np.abs(means).max() < found.resultant


def test_how_rows_are_cut_into_passes_changes_nothing(exact: ChatModel):
    def measured(batch: int) -> GradientCosines:
        recipe = RECIPE.model_copy(update={"batch_size": batch})
        return gradient_cosines(exact, {0: steering(0)}, ROWS, recipe, {"end": steering(7)}, sample=SAMPLE)

    whole, single = measured(3), measured(1)
    np.testing.assert_allclose(whole.cosines["end"], single.cosines["end"], atol=1e-6)
    np.testing.assert_allclose(whole.norms, single.norms, rtol=1e-6)


def test_the_runs_checkpoints_and_the_model_are_left_as_they_were(chat_model: ChatModel):
    checkpoint, end = steering(0), steering(7)
    before = checkpoint.vector.clone()
    gradient_cosines(chat_model, {0: checkpoint}, ROWS, RECIPE, {"end": end}, sample=SAMPLE)
    assert torch.equal(checkpoint.vector, before)
    assert checkpoint.vector.grad is None and not checkpoint.vector.requires_grad
    assert all(weight.grad is None for weight in chat_model.model.parameters())


@pytest.mark.parametrize(
    ("present", "chosen"),
    [(range(0, 61, 5), [0, 20, 40, 60]), ([0, 30, 60], [0, 30, 60]), ([7, 8, 27, 46], [7, 27])],
)
def test_checkpoints_are_read_at_least_so_far_apart(present: list[int], chosen: list[int]):
    assert GradientSample(every=20).steps(dict.fromkeys(present)) == chosen


def test_what_cannot_be_compared_is_refused(chat_model: ChatModel):
    def measured(run: Adapter, end: Adapter, rows: int = 3) -> GradientCosines:
        recipe = RECIPE.model_copy(update={"adapter": run.kind, "layer": run.layer})
        sample = GradientSample(groups=2, rows=rows)
        return gradient_cosines(chat_model, {0: run}, ROWS, recipe, {"end": end}, sample=sample)

    vector_, lora_ = steering(0), lora(chat_model, 0)
    for run, end, problem in [
        (vector_, lora_, "'end' is of kind lora and the run trains one of kind steering"),
        (vector_, steering(1, layer=2), "layers 1 and 2 cannot be combined or compared"),
        (vector_, steering(1).scaled(0.0), "'end' changes nothing"),
        (lora_, lora(chat_model, 0, rank=3), "'end' has rank 3 and the run rank 2"),
    ]:
        with pytest.raises(AdapterError, match=problem):
            measured(run, end)
    with pytest.raises(DataError, match="2 disjoint groups of 4 rows need 8 training rows; there are 7"):
        measured(vector_, steering(1), rows=4)
    with pytest.raises(ConfigError, match="at least 2 groups"):
        GradientSample(groups=1)
    with pytest.raises(DataError, match="no anchor rows"):
        gradient_cosines(
            chat_model, {0: vector_}, ROWS, RECIPE, {"end": vector_}, kl_weight=1.0, sample=SAMPLE
        )


def test_a_lora_from_another_a_is_warned_about(chat_model: ChatModel, caplog: pytest.LogCaptureFixture):
    recipe = RECIPE.model_copy(update={"adapter": "lora", "layer": None})
    ends = {"same": lora(chat_model, 1), "strange": lora(chat_model, 1, a_seed=9)}
    with caplog.at_level(logging.WARNING):
        found = gradient_cosines(chat_model, {0: lora(chat_model, 0)}, ROWS, recipe, ends, sample=SAMPLE)
    assert found.frames["same"] == pytest.approx(1)
    assert abs(found.frames["strange"]) < 0.5
    assert [record.args[0] for record in caplog.records] == ["strange"]
