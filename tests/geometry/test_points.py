"""Checkpoints as points, how far they act apart, and how straight a path goes on."""

import numpy as np
import pytest
import torch

from narrows.adapters import LoRA, SteeringVector
from narrows.errors import AdapterError, ConfigError
from narrows.geometry import Basis, trajectory
from narrows.geometry.points import distance, local_cosines, points

MODULES = ("1.mlp.down_proj", "2.mlp.down_proj")


def lora(seed: int, rank: int = 2, rslora: bool = True, modules: tuple[str, ...] = MODULES) -> LoRA:
    generator = torch.Generator().manual_seed(seed)
    factors = {
        name: (torch.randn(rank, 6, generator=generator), torch.randn(4, rank, generator=generator))
        for name in modules
    }
    return LoRA(factors, 8.0, rslora)


def product(one: LoRA) -> torch.Tensor:
    """All s·B·A in one row, formed, fp64."""
    return torch.cat([(one.scaling * b.double() @ a.double()).flatten() for a, b in one.factors.values()])


def test_the_distance_of_loras_is_that_of_their_products():
    one, other = lora(1), lora(2, rank=3, rslora=False)
    assert distance(one, other) == pytest.approx(float((product(one) - product(other)).norm()), rel=1e-12)
    assert distance(one, other) == pytest.approx(distance(other, one), rel=1e-12)


def test_the_distance_of_near_loras_keeps_its_digits():
    one = lora(1)
    near = LoRA({name: (a, b * (1 + 2**-20)) for name, (a, b) in one.factors.items()}, one.alpha)
    assert distance(one, one) < 1e-12 * one.effective_norm
    wanted = float((product(one) - product(near)).norm())
    assert distance(one, near) == pytest.approx(wanted, rel=1e-8)


def test_the_distance_of_vectors_is_that_of_what_acts():
    one, other = (
        SteeringVector(torch.tensor([3.0, 0.0]), 2, 2.0),
        SteeringVector(torch.tensor([0.0, 8.0]), 2, 1.0),
    )
    assert distance(one, other) == pytest.approx(10.0)
    assert distance(one, one) == 0.0


def test_what_does_not_lie_in_one_space_has_no_distance():
    with pytest.raises(AdapterError, match="layers 2 and 3"):
        distance(SteeringVector(torch.ones(4), 2), SteeringVector(torch.ones(4), 3))
    with pytest.raises(AdapterError, match="no distance"):
        distance(SteeringVector(torch.ones(4), 1), lora(1))
    with pytest.raises(AdapterError, match="different modules"):
        distance(lora(1), lora(1, modules=MODULES[:1]))


def test_a_straight_path_has_local_cosine_1_a_bend_less_and_its_ends_none():
    path = np.array([[0.0, 0], [1, 0], [3, 0], [3, 2], [3, 5], [3, 5], [0, 9]])
    assert local_cosines(path) == [None, 1.0, pytest.approx(0.0), 1.0, 0.0, 0.0, None]  # 0 where it rests
    assert local_cosines(path, 2)[:2] == [None, None]
    assert local_cosines(path, 2)[2:5] == [
        pytest.approx(0.0), pytest.approx(np.sqrt(0.5)), pytest.approx(4 / 5),
    ]  # fmt: skip
    assert local_cosines(path[:2]) == [None, None]


def test_a_steps_way_of_zero_has_cosine_0_with_everything():
    zero, one = SteeringVector(torch.zeros(4), 2, 8.0), SteeringVector(torch.ones(4), 2, 8.0)
    (found,) = trajectory({"run": {0: zero, 5: zero, 10: one}}, general=one, narrow=zero).runs
    assert found.cos_general == [0.0, 0.0, pytest.approx(1.0)]
    assert found.cos_narrow == [0.0, 0.0, 0.0]
    assert found.local_cosine == [None, 0.0, None]
    assert found.distance_general == [pytest.approx(16.0), pytest.approx(16.0), 0.0]
    assert found.distance_narrow == [0.0, 0.0, pytest.approx(16.0)]


def test_a_loras_point_is_its_write_vectors_or_all_of_it():
    one = lora(1)
    writes = torch.cat([b.flatten() for _, b in one.factors.values()]).double().numpy() * one.scaling
    np.testing.assert_allclose(points({0: one})[0], writes)
    np.testing.assert_array_equal(points({0: one}, "all")[0], one.coordinates().numpy())
    vector = SteeringVector(torch.ones(4), 2, 8.0)
    np.testing.assert_array_equal(points({0: vector}), points({0: vector}, "all"))


@pytest.mark.parametrize("of", ["B", "all"])
def test_a_trajectory_of_loras_says_what_its_components_are_of(of):
    run = {step: lora(step) for step in (0, 5, 10, 15)}
    found = trajectory({"run": run}, general=lora(7), narrow=lora(8), of=of, standardise=False, window=2)
    assert (found.of, found.window) == ({"B": "sB", "all": "A and B"}[of], 2)
    path = points(run, of)
    _, values, axes = np.linalg.svd(path - path.mean(axis=0), full_matrices=False)
    wanted = np.abs((path - path.mean(axis=0)) @ axes[:3].T)
    np.testing.assert_allclose(np.abs(found.runs[0].components), wanted, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.explained_variance_ratio, (values**2 / (values**2).sum())[:3])
    assert found.runs[0].local_cosine == local_cosines(path, 2)
    assert found.runs[0].distance_general[1] == pytest.approx(distance(run[5], lora(7)))


def test_runs_of_different_sizes_are_refused_by_name_of_the_sizes():
    other = {0: SteeringVector(torch.ones(5), 2), 5: SteeringVector(torch.zeros(5), 2)}
    one = {0: SteeringVector(torch.ones(4), 2), 5: SteeringVector(torch.zeros(4), 2)}
    with pytest.raises(AdapterError, match="of 4 and of 5 coordinates"):
        Basis.fit({"a": one, "b": other})
    with pytest.raises(AdapterError, match="of 5 coordinates have no place in a basis of 4"):
        Basis.fit({"a": one}).project(other)


def test_a_window_below_one_is_refused():
    one = SteeringVector(torch.ones(4), 2)
    with pytest.raises(ConfigError, match="window is 0"):
        trajectory({"run": {0: one, 5: one.scaled(2.0)}}, general=one, narrow=one, window=0)
