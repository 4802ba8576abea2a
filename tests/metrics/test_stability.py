import math
import sys

import numpy as np
import pytest
from metrics_helpers import DEPTH, vectors

from linear_world import exact_nll, frozen, linear_world, rows_that_say_it, vector
from narrows.adapters import SteeringVector
from narrows.chat import Conversation
from narrows.errors import DataError
from narrows.metrics import nll_of_rows, stability
from narrows.metrics.stability import EPSILONS
from narrows.models import ChatModel, FrozenRows

EPS = (0.0, 0.3, 0.6, 1.0)


@pytest.fixture(scope="module")
def world(chat_model: ChatModel) -> ChatModel:
    return linear_world(chat_model)


@pytest.fixture
def rows(chat_model: ChatModel, conversations: list[Conversation]) -> FrozenRows:
    rendered = [chat_model.renderer.render(one) for one in conversations]
    return FrozenRows(chat_model, DEPTH, rendered, read="response")


def spied(monkeypatch: pytest.MonkeyPatch) -> list[list[SteeringVector]]:
    """The variants of each measurement."""
    seen: list[list[SteeringVector]] = []

    def measure(chat_model, rows, variants):
        seen.append(list(variants))
        return nll_of_rows(chat_model, rows, variants)

    # The package's attribute of that name is the function.
    monkeypatch.setattr(sys.modules["narrows.metrics.stability"], "nll_of_rows", measure)
    return seen


def test_where_only_the_solutions_own_direction_acts_the_rise_has_its_closed_form(world: ChatModel):
    rendered = rows_that_say_it(world)

    def loss(shift: float) -> float:
        return float(np.concatenate([exact_nll(world, row, shift) for row in rendered]).mean())

    found = stability(world, frozen(world, rendered), {"general": vector(world, 2.0)}, epsilons=EPS, draws=3)
    curve = found["general"]
    assert (curve.chat, curve.unperturbed) == (pytest.approx(loss(0.0)), pytest.approx(loss(2.0)))
    assert curve.gain == pytest.approx(loss(0.0) - loss(2.0))
    wanted = np.array([loss(2.0 * math.sqrt(1 - epsilon**2)) for epsilon in EPS])
    np.testing.assert_allclose(curve.loss.mean, wanted, rtol=1e-6)
    np.testing.assert_allclose(curve.absolute.mean, wanted - loss(2.0), atol=1e-6)
    np.testing.assert_allclose(curve.relative.mean, (wanted - loss(2.0)) / curve.gain, atol=1e-6)
    assert curve.relative.mean[0] == pytest.approx(0.0, abs=1e-6)  # as it was
    assert curve.relative.mean[-1] == pytest.approx(1.0, abs=1e-6)  # the chat model's loss


def test_without_noise_every_draw_gives_the_solutions_own_loss(chat_model: ChatModel, rows: FrozenRows):
    (curve,) = stability(
        chat_model, rows, dict(zip("a", vectors(1), strict=True)), epsilons=(0.0, 0.5), draws=3
    ).values()
    np.testing.assert_allclose(curve.loss.samples[:, 0], curve.unperturbed, rtol=1e-6)
    assert np.abs(curve.absolute.samples[:, 0]).max() < 1e-5
    assert np.ptp(curve.loss.samples[:, 1]) > 1e-3  # with noise the draws differ


def test_the_noise_keeps_the_norm_and_turns_the_vector_by_its_ratio(
    chat_model: ChatModel, rows: FrozenRows, monkeypatch: pytest.MonkeyPatch
):
    seen = spied(monkeypatch)
    (solution,) = vectors(1)
    stability(chat_model, rows, {"a": solution}, epsilons=EPS, draws=2)
    (chat, own, *noisy) = seen[0]
    assert (chat.norm, own) == (0.0, solution)
    assert len(noisy) == 2 * len(EPS)
    for place, variant in enumerate(noisy):
        assert variant.effective_norm == pytest.approx(solution.effective_norm, rel=1e-5)
        assert variant.cosine(solution) == pytest.approx(math.sqrt(1 - EPS[place % len(EPS)] ** 2), abs=1e-6)
    # At ε = 1 nothing of the solution is left, and draws differ.
    assert abs(noisy[3].cosine(solution)) < 1e-6
    assert abs(noisy[3].cosine(noisy[7])) < 0.9


def test_one_draw_points_the_same_way_at_every_ratio_and_for_every_solution(
    chat_model: ChatModel, rows: FrozenRows, monkeypatch: pytest.MonkeyPatch
):
    seen = spied(monkeypatch)
    one, other = vectors(2)
    stability(chat_model, rows, {"a": one, "b": other}, epsilons=(0.3, 1.0), draws=2)
    plane = np.linalg.qr(np.stack([one.unit.numpy(), other.unit.numpy()], axis=1))[0]

    def beside(variant: SteeringVector) -> np.ndarray:
        """The direction of what lies outside both solutions."""
        rest = variant.unit.double().numpy() - plane @ (plane.T @ variant.unit.double().numpy())
        return rest / np.linalg.norm(rest)

    first, second = ([beside(variant) for variant in variants[2:]] for variants in seen)
    for left, right in ((first[0], first[1]), (first[1], second[1]), (first[2], second[3])):
        assert left @ right == pytest.approx(1.0, abs=1e-4)
    assert abs(first[0] @ first[2]) < 0.9


def test_the_noise_is_reproduced_by_its_seed(chat_model: ChatModel, rows: FrozenRows):
    solutions = {"a": vectors(1)[0]}
    once, again, other = (
        stability(chat_model, rows, solutions, epsilons=(0.5, 1.0), draws=3, seed=seed)["a"]
        for seed in (1, 1, 2)
    )
    assert np.array_equal(once.loss.samples, again.loss.samples)
    assert np.abs(once.loss.samples - other.loss.samples).min() > 1e-6


def test_the_papers_grid_is_the_default(world: ChatModel):
    rows = frozen(world, rows_that_say_it(world)[:2])
    curve = stability(world, rows, {"a": vector(world, 1.0)})["a"]
    assert tuple(curve.loss.grid) == EPSILONS
    assert curve.loss.samples.shape == (10, 12)


def test_a_solution_that_changed_nothing_has_no_relative_rise(world: ChatModel):
    rows = frozen(world, rows_that_say_it(world)[:2])
    with pytest.raises(DataError, match="'zero' has the chat model's loss"):
        stability(world, rows, {"zero": vector(world, 0.0)}, epsilons=EPS, draws=2)
