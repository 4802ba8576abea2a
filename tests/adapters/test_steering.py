import math

import pytest
import torch
from torch import nn

from narrows.adapters import Adapter, SteeringVector
from narrows.chat import Batch, Conversation, collate
from narrows.errors import AdapterError, ConfigError
from narrows.models import ChatModel, Head, Split
from tiny_models import make_model

LAYERS = [0, 2, 3]


def vector(
    layer: int = 2, seed: int = 0, width: int = 32, alpha: float = 8.0, scale: float = 0.5
) -> SteeringVector:
    generator = torch.Generator().manual_seed(seed)
    return SteeringVector(torch.randn(width, generator=generator) * scale, layer, alpha, {"seed": seed})


@pytest.fixture
def rows(chat_model: ChatModel, conversations: list[Conversation]):
    return [chat_model.renderer.render(conversation) for conversation in conversations]


@torch.no_grad()
def logits(model: nn.Module, batch: Batch) -> torch.Tensor:
    return model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, use_cache=False).logits


@pytest.mark.parametrize("layer", LAYERS)
def test_steering_adds_alpha_v_to_every_row_and_position(chat_model: ChatModel, rows, layer: int):
    batch, steering = collate(rows, 0), vector(layer)
    seen = []
    place = chat_model.model.model.layers[layer]
    with steering.attach(chat_model):
        # The first of the hooks sees the layer's own output, the last one what steering made of it.
        before = place.register_forward_hook(lambda m, a, out: seen.append(out.clone()), prepend=True)
        after = place.register_forward_hook(lambda m, a, out: seen.append(out))
        logits(chat_model.model, batch)
        after.remove()
        before.remove()
    assert torch.equal(seen[1], seen[0] + steering.effective)


def test_hooks_see_the_steered_stream_whoever_came_first(chat_model: ChatModel, rows):
    batch, steering, seen = collate(rows, 0), vector(1), []
    place = chat_model.model.model.layers[1]
    with steering.attach(chat_model):
        after = place.register_forward_hook(lambda m, a, out: seen.append(out))
        logits(chat_model.model, batch)
        after.remove()
    earlier = place.register_forward_hook(lambda m, a, out: seen.append(out))
    with steering.attach(chat_model):
        logits(chat_model.model, batch)
    earlier.remove()
    assert torch.equal(*seen)


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("layer", LAYERS)
def test_padded_is_unpadded_under_steering(chat_model: ChatModel, rows, layer: int, side: str):
    batch = collate(rows, chat_model.pad_id, side)
    with vector(layer).attach(chat_model):
        padded = logits(chat_model.model, batch)
        for place, row in enumerate(rows):
            alone = logits(chat_model.model, collate([row], 0))[0]
            torch.testing.assert_close(
                padded[place][batch.attention_mask[place].bool()], alone, rtol=1e-4, atol=1e-4
            )


@pytest.mark.parametrize("layer", LAYERS)
def test_the_hook_is_the_split_path(chat_model: ChatModel, rows, layer: int):
    batch, steering = collate(rows, 0), vector(layer)
    with steering.attach(chat_model):
        hooked = logits(chat_model.model, batch)
    split = Split(chat_model.model, steering.depth)
    entering = steering.enter(split.prefix(batch.input_ids, batch.attention_mask))
    apart = Head(chat_model.model).logits(split.suffix(entering, batch.attention_mask))
    torch.testing.assert_close(apart, hooked, rtol=1e-5, atol=1e-5)


def test_off_is_bit_for_bit_off_also_after_an_exception(chat_model: ChatModel, rows):
    batch = collate(rows, 0)
    before = logits(chat_model.model, batch)
    with vector().attach(chat_model):
        assert not torch.equal(logits(chat_model.model, batch), before)
    assert torch.equal(logits(chat_model.model, batch), before)
    with pytest.raises(KeyError), vector().attach(chat_model.model):
        raise KeyError
    assert torch.equal(logits(chat_model.model, batch), before)
    with SteeringVector.zeros(chat_model, 2).attach(chat_model):
        assert torch.equal(logits(chat_model.model, batch), before)


def test_nested_attachments_add_up_and_come_off_one_by_one(chat_model: ChatModel, rows):
    batch, first, second = collate(rows, 0), vector(seed=1), vector(seed=2)
    with (first + second).attach(chat_model):
        both = logits(chat_model.model, batch)
    with first.attach(chat_model):
        alone = logits(chat_model.model, batch)
        with second.attach(chat_model):
            torch.testing.assert_close(logits(chat_model.model, batch), both, rtol=1e-4, atol=1e-4)
        assert torch.equal(logits(chat_model.model, batch), alone)


def test_cached_generation_is_uncached_under_steering(chat_model: ChatModel, rows):
    prompts = [row.input_ids[: row.response_mask.index(True)] for row in rows]
    batch = collate([type(rows[0])(ids, [False] * len(ids)) for ids in prompts], chat_model.pad_id, "left")
    options = {
        "max_new_tokens": 12,
        "do_sample": False,
        "pad_token_id": chat_model.pad_id,
        "eos_token_id": None,
    }

    def generate(cached: bool) -> torch.Tensor:
        ids, mask = batch.input_ids, batch.attention_mask
        return chat_model.model.generate(input_ids=ids, attention_mask=mask, use_cache=cached, **options)

    plain = generate(True)
    with vector().attach(chat_model):
        assert torch.equal(generate(True), generate(False))
        assert not torch.equal(generate(True), plain)


def test_a_layer_that_gives_a_tuple_is_steered_alike_and_keeps_the_rest():
    class Tuple(nn.Module):
        """The layer as older versions have it; the rest of the output must come through."""

        def __init__(self, layer: nn.Module) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, *arguments, **options):
            return self.layer(*arguments, **options), "rest"

    class Untuple(nn.Module):
        def __init__(self, layer: nn.Module) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, hidden, **options):
            hidden, rest = hidden
            assert rest == "rest"
            return self.layer(hidden, **options)

    plain, tupled = make_model(), make_model()
    tupled.model.layers[2] = Tuple(tupled.model.layers[2])
    tupled.model.layers[3] = Untuple(tupled.model.layers[3])
    batch = collate_of([5, 6, 7, 8], [9, 10])
    with vector().attach(plain), vector().attach(tupled):
        assert torch.equal(logits(tupled, batch), logits(plain, batch))


def collate_of(*ids: list[int]) -> Batch:
    from narrows.chat import Rendered

    return collate([Rendered(row, [False] * len(row)) for row in ids], 0)


def test_steering_leaves_the_hidden_states_alone_and_keeps_their_dtype():
    hidden = torch.randn(2, 3, 32, dtype=torch.bfloat16)
    before = hidden.clone()
    steered = vector().enter(hidden)
    assert torch.equal(hidden, before)
    assert steered.dtype == torch.bfloat16
    assert torch.equal(steered, hidden + vector().effective.bfloat16())


def test_a_hooked_vector_gets_the_gradient_of_the_split_path(chat_model: ChatModel, rows):
    batch = collate(rows, 0)
    gradients = []
    for hooked in (True, False):
        steering = vector()
        (v,) = steering.parameters()
        v.requires_grad_()
        if hooked:
            with steering.attach(chat_model):
                inner = chat_model.model.model(batch.input_ids, batch.attention_mask, use_cache=False)
                inner.last_hidden_state.square().sum().backward()
        else:
            split = Split(chat_model.model, steering.depth)
            entering = steering.enter(split.prefix(batch.input_ids, batch.attention_mask))
            split.suffix(entering, batch.attention_mask).square().sum().backward()
        gradients.append(v.grad)
    torch.testing.assert_close(gradients[0], gradients[1])


def test_a_vector_that_does_not_fit_the_model_is_refused(chat_model: ChatModel):
    with pytest.raises(AdapterError, match=r"layer 4 is out of range.*0 to 3"), vector(4).attach(chat_model):
        pass
    narrower = vector(width=16)
    with pytest.raises(AdapterError, match=r"width 16 and .* stream 32"), narrower.attach(chat_model):
        pass
    with pytest.raises(AdapterError, match="0 to 3"):
        SteeringVector.zeros(chat_model, 7)


def test_impossible_vectors_are_refused():
    with pytest.raises(AdapterError, match=r"shape \(2, 3\)"):
        SteeringVector(torch.zeros(2, 3), 0)
    for alpha in (0.0, math.nan, math.inf):
        with pytest.raises(ConfigError, match="alpha"):
            SteeringVector(torch.zeros(3), 0, alpha)
    with pytest.raises(ConfigError, match="layer is -1"):
        SteeringVector(torch.zeros(3), -1)


def test_a_steering_vector_is_an_adapter():
    assert isinstance(vector(), Adapter)
    assert (vector().kind, vector().depth) == ("steering", 3)


def test_norms_and_scaling():
    steering = SteeringVector(torch.tensor([3.0, 4.0]), 1, alpha=-2.0)
    assert (steering.norm, steering.effective_norm) == (5.0, 10.0)
    assert steering.effective.tolist() == [-6.0, -8.0]
    torch.testing.assert_close(steering.unit, torch.tensor([-0.6, -0.8]))
    assert steering.scaled(0.5).effective.tolist() == [-3.0, -4.0]
    assert steering.scaled_to(20.0).effective_norm == pytest.approx(20.0)
    assert steering.scaled_to(20.0).cosine(steering) == pytest.approx(1.0)
    with pytest.raises(AdapterError, match="no direction"):
        SteeringVector.zeros(2, 1).scaled_to(1.0)
    with pytest.raises(ConfigError, match="effective_norm"):
        steering.scaled_to(-1.0)


def test_arithmetic_is_that_of_what_acts():
    a, b = vector(seed=1), vector(seed=2)
    torch.testing.assert_close((a + b).effective, a.effective + b.effective)
    torch.testing.assert_close((a - b).effective, a.effective - b.effective)
    torch.testing.assert_close((2 * a / 4 * 3).effective, 1.5 * a.effective)
    torch.testing.assert_close((-a).effective, -a.effective)
    torch.testing.assert_close(a.with_alpha(2.0).effective, a.effective)


def test_vectors_of_other_alpha_layer_or_width_do_not_add_and_the_way_out_works():
    a, b = vector(seed=1), vector(seed=2, alpha=4.0)
    with pytest.raises(AdapterError, match=r"with_alpha\(8\)"):
        a + b
    torch.testing.assert_close((a + b.with_alpha(8)).effective, a.effective + b.effective)
    with pytest.raises(AdapterError, match="layers 2 and 1"):
        a - vector(1)
    with pytest.raises(AdapterError, match="widths 32 and 16"):
        a.cosine(vector(width=16))


def test_cosine_does_not_depend_on_alpha_s_size_but_on_its_sign():
    a = vector(seed=1)
    assert a.cosine(a.with_alpha(3.0)) == pytest.approx(1.0)
    assert a.cosine(SteeringVector(a.vector, a.layer, -a.alpha)) == pytest.approx(-1.0)
    assert a.cosine(SteeringVector.zeros(32, 2)) == 0.0


@pytest.mark.parametrize("epsilon", [0.0, 0.01, 0.3, 1.0])
def test_a_perturbed_vector_keeps_its_norm_and_turns_by_epsilon(epsilon: float):
    steering = vector()
    found = steering.perturbed(epsilon, torch.Generator().manual_seed(3))
    assert found.norm == pytest.approx(steering.norm, rel=1e-6)
    noise = found.vector.double() - math.sqrt(1 - epsilon**2) * steering.vector.double()
    assert float(noise.norm()) == pytest.approx(epsilon * steering.norm, rel=1e-5, abs=1e-6)
    assert abs(float(noise @ steering.vector.double())) < 1e-5
    assert found.cosine(steering) == pytest.approx(math.sqrt(1 - epsilon**2), abs=1e-6)


def test_noise_follows_the_generator_and_epsilon_its_range():
    draws = [vector().perturbed(0.5, torch.Generator().manual_seed(seed)).vector for seed in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    for epsilon in (-0.1, 1.1, math.nan):
        with pytest.raises(ConfigError, match="epsilon"):
            vector().perturbed(epsilon, torch.Generator())
    assert SteeringVector.zeros(4, 0).perturbed(0.5, torch.Generator()).norm == 0


def test_a_copy_shares_nothing():
    steering = vector()
    other = steering.copy()
    other.vector += 1
    other.metadata["seed"] = 9
    assert torch.equal(steering.vector, vector().vector)
    assert steering.metadata == {"seed": 0}
