"""A LoRA's singular directions against those of the product, formed in fp64."""

import pytest
import torch

from families import family
from narrows.adapters import LoRA
from narrows.errors import AdapterError, ConfigError
from narrows.geometry.extraction import singular_directions
from narrows.models import ChatModel


def lora(chat_model: ChatModel, rank: int, *targets: str, layers: tuple[int, ...] = (1, 2)) -> LoRA:
    fresh = LoRA.fresh(chat_model, rank=rank, targets=targets, layers=layers, alpha=16.0)
    generator = torch.Generator().manual_seed(3)
    return LoRA(
        {
            name: (torch.randn(a.shape, generator=generator), torch.randn(b.shape, generator=generator))
            for name, (a, b) in fresh.factors.items()
        },
        fresh.alpha,
    )


ALL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@pytest.mark.parametrize("rank", [1, 4])
def test_they_are_those_of_the_product(chat_model: ChatModel, rank: int) -> None:
    adapter = lora(chat_model, rank, *ALL)
    found = singular_directions(adapter)
    assert len(found) == 2 * rank * len(adapter.factors)
    for name, (a, b) in adapter.factors.items():
        left, values, right = torch.linalg.svd(adapter.scaling * b.double() @ a.double(), full_matrices=False)
        for role, vectors in (("writes", left.T), ("reads", right)):
            own = [one for one in found if (one.module, one.role) == (name, role)]
            torch.testing.assert_close(
                torch.tensor([one.value for one in own], dtype=torch.float64),
                values[:rank],
                rtol=1e-9,
                atol=0,
            )
            for place, one in enumerate(own):
                assert abs(float(one.unit.double() @ vectors[place])) == pytest.approx(1, abs=1e-6)
            assert sum(one.share for one in own) == pytest.approx(1)
    # Both signs go together: the products add up to the change.
    first = [one for one in found if one.module == "1.mlp.down_proj"]
    a, b = adapter.factors["1.mlp.down_proj"]
    total = sum(
        one.value * torch.outer(one.unit.double(), other.unit.double())
        for one, other in zip(first[::2], first[1::2], strict=True)
    )
    torch.testing.assert_close(total, adapter.scaling * b.double() @ a.double(), rtol=1e-4, atol=1e-4)


def test_of_a_rank_1_down_proj_it_is_b(chat_model: ChatModel) -> None:
    adapter = lora(chat_model, 1, "down_proj", layers=(2,))
    [written, read] = singular_directions(adapter, model=chat_model.model)
    _, b = adapter.factors["2.mlp.down_proj"]
    assert abs(float(written.unit @ b[:, 0] / b.norm())) == pytest.approx(1, abs=1e-6)
    assert written.value == pytest.approx(adapter.effective_norm)
    direction = written.direction
    assert (direction.layer, direction.found["role"]) == (2, "writes")
    direction.check(chat_model.model)
    assert not read.in_stream and read.space == "the inside of the layer's MLP"
    with pytest.raises(AdapterError, match=r"2.mlp.down_proj reads: lies in the inside of the layer's MLP"):
        _ = read.direction


def test_which_space_each_lies_in(chat_model: ChatModel) -> None:
    found = singular_directions(lora(chat_model, 1, *ALL, layers=(0, 3)), 1)
    stream = {(one.module.rpartition(".")[2], one.role): one for one in found if one.in_stream}
    readers = ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj")
    assert set(stream) == {
        ("o_proj", "writes"),
        ("down_proj", "writes"),
        *((one, "reads") for one in readers),
    }
    assert all(len(one.unit) == chat_model.hidden for one in stream.values())
    layers = {(one.module, one.role): one.direction.layer for one in found if one.in_stream}
    assert layers["3.self_attn.q_proj", "reads"] == 2 and layers["0.self_attn.q_proj", "reads"] == 0
    assert layers["3.self_attn.o_proj", "writes"] == 3


@pytest.mark.parametrize(("name", "normed"), [("gemma2", True), ("olmo2", True), ("llama", False)])
def test_a_norm_behind_the_module_is_noticed(name: str, normed: bool) -> None:
    model = family(name)
    adapter = LoRA({"1.mlp.down_proj": (torch.ones(1, 32), torch.ones(32, 1))})
    [written, _] = singular_directions(adapter, model=model)
    assert written.in_stream is not normed
    assert ("a norm follows" in written.space) is normed


def test_smaller_ranks_than_said_have_fewer_directions(chat_model: ChatModel) -> None:
    a = torch.randn(3, 64, generator=torch.Generator().manual_seed(0))
    b = torch.zeros(32, 3)
    b[:, 0] = 1.0
    found = singular_directions(LoRA({"1.mlp.down_proj": (a, b)}))
    assert [one.role for one in found] == ["writes", "reads"]


def test_what_has_none_is_refused(chat_model: ChatModel) -> None:
    with pytest.raises(AdapterError, match="changes nothing has no singular directions"):
        singular_directions(LoRA.fresh(chat_model))
    with pytest.raises(ConfigError, match="count is 0"):
        singular_directions(lora(chat_model, 1, "down_proj"), 0)
    with pytest.raises(AdapterError, match="was made for another model"):
        singular_directions(
            LoRA({"1.mlp.down_proj": (torch.ones(1, 5), torch.ones(5, 1))}), model=chat_model.model
        )
