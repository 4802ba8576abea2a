import numpy as np
import pytest
from metrics_helpers import DEPTH, reference_nll, vectors

from linear_world import exact_nll, frozen, linear_world, rows_that_say_it, vector
from narrows.chat import Conversation
from narrows.errors import AdapterError
from narrows.metrics import efficiency, equal_norms, loss_against_scale, nll_of_rows
from narrows.models import ChatModel, FrozenRows

NORMS = np.array([0.5, 1.0, 2.0])


@pytest.fixture(scope="module")
def world(chat_model: ChatModel) -> ChatModel:
    return linear_world(chat_model)


def token_mean(world: ChatModel, shift: float) -> float:
    return float(np.concatenate([exact_nll(world, row, shift) for row in rows_that_say_it(world)]).mean())


def test_efficiency_has_its_closed_form_where_steering_shifts_the_logits(world: ChatModel):
    rows = frozen(world, rows_that_say_it(world))
    solutions = {"general": vector(world, 3.0), "narrow": vector(world, 0.6, 0.8)}
    curves = efficiency(world, rows, solutions, NORMS)
    for name, share in (("general", 1.0), ("narrow", 0.6)):  # of the norm, what shifts the logits
        wanted = [token_mean(world, share * norm) for norm in NORMS]
        np.testing.assert_allclose(curves[name].mean, wanted, rtol=1e-6)
        assert np.array_equal(curves[name].grid, NORMS)
    assert (curves["general"].mean < curves["narrow"].mean).all()


def test_efficiency_is_the_loss_of_the_whole_model_with_the_scaled_vector_attached(
    chat_model: ChatModel, conversations: list[Conversation]
):
    rendered = [chat_model.renderer.render(one) for one in conversations]
    rows = FrozenRows(chat_model, DEPTH, rendered, read="response")
    left, right = vectors(2, norm=7.0)
    curves = efficiency(chat_model, rows, {"left": left, "right": right}, NORMS)
    for name, solution in (("left", left), ("right", right)):
        for place, norm in enumerate(NORMS):
            scaled = solution.scaled_to(float(norm))
            assert scaled.effective_norm == pytest.approx(norm)
            assert scaled.cosine(solution) == pytest.approx(1.0)
            tokens = np.concatenate([reference_nll(chat_model, row, scaled) for row in rendered])
            assert curves[name].mean[place] == pytest.approx(tokens.mean(), rel=1e-5)


def test_the_band_is_over_rows_and_holds_the_curve(world: ChatModel):
    rows = frozen(world, rows_that_say_it(world))
    curve = efficiency(world, rows, {"general": vector(world, 3.0)}, NORMS)["general"]
    assert curve.samples.shape == (len(rows), len(NORMS))
    assert (curve.low < curve.mean).all()
    assert (curve.mean < curve.high).all()


def test_a_scale_of_0_is_the_chat_model_and_1_the_solution_itself(world: ChatModel):
    rows = frozen(world, rows_that_say_it(world))
    solution = vector(world, 1.5)
    curve = loss_against_scale(world, rows, solution, (0.0, 1.0, 2.0))
    assert curve.mean == pytest.approx([token_mean(world, shift) for shift in (0.0, 1.5, 3.0)])
    assert curve.mean[1] == pytest.approx(nll_of_rows(world, rows, [solution]).means[0])


def test_equal_norms_are_the_papers_shares_of_the_mean_norm():
    left, right = vectors(1, norm=2.0)[0], vectors(1, norm=6.0)[0]
    wanted = 4.0 * np.array([0.2, 0.4, 0.6, 0.8, 1, 1.2, 1.4, 1.6, 1.8, 2])
    np.testing.assert_allclose(equal_norms(left, right), wanted, rtol=1e-6)


def test_a_vector_of_zeros_has_no_direction_to_scale(world: ChatModel):
    with pytest.raises(AdapterError, match="no direction"):
        efficiency(world, frozen(world, rows_that_say_it(world)), {"zero": vector(world, 0.0)}, NORMS)
