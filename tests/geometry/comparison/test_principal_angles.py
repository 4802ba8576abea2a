"""Principal angles between the subspaces that directions span."""

import math

import numpy as np
import pytest
import torch
from scipy.linalg import subspace_angles

from narrows.adapters import Direction
from narrows.errors import AdapterError, ConfigError
from narrows.geometry.comparison import (
    Subspace,
    compare_subspaces,
    principal_angles,
    random_angles,
    random_cosine_limit,
)

WIDTH = 12


def subspace(vectors: np.ndarray) -> Subspace:
    """The span of some rows."""
    return Subspace.of([Direction.of(torch.from_numpy(row), 2, f"d{i}") for i, row in enumerate(vectors)])


def reference(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Angles from the cosines alone, fp64: good for angles that are not small."""
    left, right = (np.linalg.qr(rows.T)[0] for rows in (one, other))
    angles = np.arccos(np.clip(np.linalg.svd(left.T @ right)[1], -1, 1))
    np.testing.assert_allclose(angles, subspace_angles(one.T, other.T)[::-1], rtol=1e-9)
    return angles


@pytest.mark.parametrize(("first", "second"), [(1, 1), (2, 4), (5, 3)])
def test_angles_are_those_of_an_fp64_reference(first, second):
    generator = np.random.default_rng(first)
    rows, others = generator.normal(size=(first, WIDTH)), generator.normal(size=(second, WIDTH))
    found = principal_angles(subspace(rows), subspace(others))
    np.testing.assert_allclose(found, reference(rows, others), rtol=1e-6)  # directions are stored in fp32
    np.testing.assert_allclose(found, principal_angles(subspace(others), subspace(rows)), rtol=1e-12)


def test_planted_angles_are_found_small_ones_too():
    wanted = np.array([1e-9, 0.3, math.pi / 2])
    eye = np.eye(WIDTH)
    tilted = np.cos(wanted)[:, None] * eye[:3] + np.sin(wanted)[:, None] * eye[3:6]
    mix = np.linalg.qr(np.random.default_rng(0).normal(size=(WIDTH, WIDTH)))[0]
    one = Subspace(np.ascontiguousarray((eye[:3] @ mix).T), ("a",))
    other = Subspace(np.ascontiguousarray((tilted @ mix).T), ("b",))
    np.testing.assert_allclose(principal_angles(one, other), wanted, rtol=1e-6, atol=1e-15)


def test_a_direction_that_the_others_span_adds_no_dimension():
    rows = np.random.default_rng(1).normal(size=(2, WIDTH))
    one = subspace(np.vstack([rows, rows[0] - 2 * rows[1]]))
    assert one.dimensions == 2
    np.testing.assert_allclose(one.basis.T @ one.basis, np.eye(2), atol=1e-12)
    np.testing.assert_allclose(principal_angles(one, subspace(rows)), 0, atol=1e-6)


def test_random_lines_have_the_angle_of_the_exact_limit():
    cosines = np.cos(random_angles(WIDTH, (1, 1), draws=3000)[:, 0])
    assert (cosines <= random_cosine_limit(WIDTH)).mean() == pytest.approx(0.95, abs=0.016)


def test_random_overlap_is_the_larger_subspaces_share_of_the_stream():
    overlap = (np.cos(random_angles(WIDTH, (2, 3), draws=1000)) ** 2).mean()
    assert overlap == pytest.approx(3 / WIDTH, abs=0.02)


def test_a_comparison_says_what_random_subspaces_have():
    rows = np.eye(WIDTH)
    found = compare_subspaces(subspace(rows[:2]), subspace(rows[1:4]), draws=200)
    np.testing.assert_allclose(found.angles, [0, math.pi / 2], atol=1e-7)
    assert found.overlap == pytest.approx(0.5)
    assert all(low < high for low, high in (*found.random, found.overlap_random))
    assert found.random[0][0] > 0.2  # two random subspaces share no direction
    flat = torch.diag(torch.tensor([100.0] * 3 + [1e-6] * (WIDTH - 3), dtype=torch.float64))
    narrow = compare_subspaces(subspace(rows[:2]), subspace(rows[1:4]), covariance=flat, draws=200)
    # All random subspaces of two dimensions and more lie in the same three, and so share a direction.
    assert narrow.random[0][1] < 0.05
    assert narrow.overlap_random[0] > found.overlap_random[1]


def test_the_same_seed_draws_the_same():
    np.testing.assert_array_equal(
        random_angles(6, (2, 2), draws=5, seed=3), random_angles(6, (2, 2), draws=5, seed=3)
    )


def test_no_direction_and_other_widths_are_refused():
    with pytest.raises(ConfigError, match="one direction or more"):
        Subspace.of([])
    with pytest.raises(AdapterError, match="widths 12 and 5"):
        principal_angles(subspace(np.eye(WIDTH)[:2]), subspace(np.eye(5)[:1]))
