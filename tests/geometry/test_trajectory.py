import numpy as np
import pytest
import torch

from narrows.adapters import LoRA, SteeringVector
from narrows.errors import AdapterError, ConfigError
from narrows.geometry import Basis, trajectory

WIDTH, ALPHA = 8, 4.0


def run(seed: int, steps: tuple[int, ...] = (0, 5, 10, 20)) -> dict[int, SteeringVector]:
    """Checkpoints that wander; some coordinates vary much more than others."""
    generator = torch.Generator().manual_seed(seed)
    size = torch.tensor([30.0, 3, 3, 1, 1, 0.3, 0.3, 0.1])
    return {step: SteeringVector(torch.randn(WIDTH, generator=generator) * size, 2, ALPHA) for step in steps}


RUNS = {"a": run(1), "b": run(2, (0, 10, 30))}
GENERAL, NARROW = run(3)[5], run(4)[5]


def matrix(*runs: dict[int, SteeringVector]) -> np.ndarray:
    return np.stack([one[step].effective.double().numpy() for one in runs for step in sorted(one)])


def scaled(standardise: bool, values: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    return (values - fitted.mean(axis=0)) / (fitted.std(axis=0) if standardise else 1.0)


@pytest.mark.parametrize("standardise", [True, False])
def test_components_and_explained_variance_are_those_of_an_fp64_svd(standardise: bool):
    found = trajectory(RUNS, general=GENERAL, narrow=NARROW, standardise=standardise)
    stacked = matrix(*RUNS.values())
    centred = scaled(standardise, stacked, stacked)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    assert found.standardised is standardise
    ratio = values**2 / (values**2).sum()
    np.testing.assert_allclose(found.explained_variance_ratio, ratio[:3], rtol=1e-10)
    components = np.concatenate([one.components for one in found.runs])
    # A component's sign is free.
    np.testing.assert_allclose(np.abs(components), np.abs(left * values)[:, :3], rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(
        components @ components.T, (left[:, :3] * values[:3] ** 2) @ left[:, :3].T, rtol=1e-7, atol=1e-6
    )


def test_vectors_and_loras_are_not_held_against_each_other():
    lora = LoRA({"2.mlp.down_proj": (torch.ones(1, 4), torch.ones(WIDTH, 1))}, 1.0)
    path = {0: lora, 5: lora.scaled(2.0)}
    with pytest.raises(AdapterError, match="the general end is a vector and b is a LoRA"):
        trajectory({"a": run(1), "b": path}, general=GENERAL, narrow=NARROW)
    with pytest.raises(AdapterError, match="the general end is a LoRA and the narrow end is a vector"):
        trajectory({"b": path}, general=lora, narrow=NARROW)
    # As wide as the vectors, so that only the kind tells them apart.
    with pytest.raises(AdapterError, match="kind lora have no place in a basis of kind steering"):
        Basis.fit(RUNS).project(path)


def test_standardised_or_not_gives_different_numbers():
    one, other = (Basis.fit(RUNS, standardise=choice) for choice in (True, False))
    assert other.explained_variance_ratio[0] > 0.9 > one.explained_variance_ratio[0]


@pytest.mark.parametrize("standardise", [True, False])
def test_further_runs_are_projected_with_the_same_scaler_and_basis(standardise: bool):
    basis = Basis.fit(RUNS, standardise=standardise)
    further = run(7)
    stacked = matrix(*RUNS.values())
    _, _, axes = np.linalg.svd(scaled(standardise, stacked, stacked), full_matrices=False)
    wanted = scaled(standardise, matrix(further), stacked) @ axes[:3].T
    np.testing.assert_allclose(np.abs(basis.project(further)), np.abs(wanted), rtol=1e-8, atol=1e-8)
    found = trajectory(
        {"further": further}, general=GENERAL, narrow=NARROW, basis=basis, standardise=not standardise
    )
    np.testing.assert_array_equal(found.runs[0].components, basis.project(further))
    assert found.explained_variance_ratio == basis.explained_variance_ratio
    assert found.standardised is standardise  # as the basis is
    # A run of the fit lies where the fit put it.
    inside = trajectory(RUNS, general=GENERAL, narrow=NARROW, standardise=standardise)
    np.testing.assert_allclose(inside.runs[1].components, basis.project(RUNS["b"]))


def test_cosines_and_norms_are_exact():
    axes = torch.eye(WIDTH)
    checkpoints = {
        0: SteeringVector(torch.zeros(WIDTH), 2, ALPHA),
        1: SteeringVector(3 * axes[0] + 4 * axes[1], 2, ALPHA),
        2: SteeringVector(-2 * axes[1], 2, ALPHA),
    }
    ends = {"general": SteeringVector(5 * axes[0], 2, 2.0), "narrow": SteeringVector(axes[1], 2, 256.0)}
    (found,) = trajectory({"one": checkpoints}, **ends).runs
    assert found.cos_general == pytest.approx([0.0, 0.6, 0.0])
    assert found.cos_narrow == pytest.approx([0.0, 0.8, -1.0])
    assert found.norm == pytest.approx([0.0, 20.0, 8.0])


def test_steps_are_in_the_order_of_numbers_whatever_the_order_given():
    checkpoints = run(5, (100, 20, 0, 5))
    (found,) = trajectory({"one": checkpoints}, general=GENERAL, narrow=NARROW).runs
    assert found.steps == [0, 5, 20, 100]
    assert found.norm == [checkpoints[step].effective_norm for step in (0, 5, 20, 100)]
    forward = trajectory(
        {"one": {step: checkpoints[step] for step in (0, 5, 20, 100)}}, general=GENERAL, narrow=NARROW
    )
    assert forward.runs[0] == found


def test_runs_keep_their_names_and_lengths():
    found = trajectory(RUNS, general=GENERAL, narrow=NARROW)
    assert [(one.name, one.steps) for one in found.runs] == [("a", [0, 5, 10, 20]), ("b", [0, 10, 30])]
    assert [np.shape(one.components) for one in found.runs] == [(4, 3), (3, 3)]


def test_two_checkpoints_have_two_components_at_most():
    found = trajectory({"one": run(1, (0, 5))}, general=GENERAL, narrow=NARROW)
    assert found.explained_variance_ratio == pytest.approx([1.0, 0.0])


@pytest.mark.parametrize(
    "runs",
    [{}, {"one": run(1, (0,))}, {"one": dict.fromkeys((0, 5, 10), GENERAL)}],
    ids=["none", "one", "all the same"],
)
def test_a_basis_needs_checkpoints_that_differ(runs: dict[str, dict[int, SteeringVector]]):
    with pytest.raises(ConfigError, match="two checkpoints that differ"):
        Basis.fit(runs)


def test_ends_of_another_layer_are_refused():
    with pytest.raises(AdapterError, match="layers 2 and 3"):
        trajectory(RUNS, general=SteeringVector(torch.ones(WIDTH), 3, ALPHA), narrow=NARROW)
