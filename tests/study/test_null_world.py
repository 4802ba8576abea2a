"""Where general and narrow are the same there is nothing to find, and no claim may be supported."""

import numpy as np
import pytest
import torch
from study_helpers import GRID, HOLDS, table

from linear_world import frozen, linear_world, rows_that_say_it, texts, vector
from narrows.adapters import SteeringVector
from narrows.metrics import Curve, efficiency, random_directions, significance, stability
from narrows.models import ChatModel
from narrows.study.claims import c4, c5, c6, c7
from narrows.study.claims.verdicts import ClaimResult

NORMS = np.array([0.5, 1.0, 2.0])


@pytest.fixture(scope="module")
def world(chat_model: ChatModel) -> ChatModel:
    return linear_world(chat_model)


def measured(world: ChatModel, general: SteeringVector, narrow: SteeringVector) -> dict[str, ClaimResult]:
    """The claims about the metrics, from the metrics themselves."""
    ends = {"unanchored": general, "anchored": narrow}
    rows = frozen(world, rows_that_say_it(world))
    plain = frozen(world, texts(world), read="all", reference=True)
    directions = ends | {"random": random_directions(general)}
    return {
        "C4": c4(efficiency(world, rows, ends, NORMS), NORMS),
        "C5": c5(stability(world, rows, ends, epsilons=(0.1, 0.5, 1.0))),
        "C6": c6(significance(world, plain, directions, NORMS), NORMS),
    }


def test_the_same_vector_as_both_solutions_supports_no_claim(world: ChatModel):
    one = vector(world, 1.2, 0.9)
    found = measured(world, one, one.copy())
    assert {name: result.verdict for name, result in found.items()} == dict.fromkeys(found, "not-supported")
    for result in found.values():
        assert result.headline.estimate == 0.0


def test_the_same_vector_at_another_norm_supports_nothing_that_is_said_at_equal_norm(world: ChatModel):
    one = vector(world, 1.2, 0.9)
    found = measured(world, one, one.scaled(0.5))
    assert found["C4"].verdict != "supported"
    assert found["C6"].verdict != "supported"


def test_two_vectors_that_do_the_same_support_no_claim(world: ChatModel):
    # What lies beside coordinate 0 does nothing in this world: other vectors, the same solution.
    found = measured(world, vector(world, 1.2, 0.9, place=1), vector(world, 1.2, 0.9, place=2))
    assert {result.verdict for result in found.values()} & {"supported"} == set()


def test_the_check_can_fail_where_the_solutions_differ_the_claims_are_supported(world: ChatModel):
    found = measured(world, vector(world, 2.0), vector(world, 1.2, 1.6))
    assert found["C4"].verdict == found["C6"].verdict == "supported"


def test_where_the_narrow_solution_is_the_general_one_lifting_its_anchor_shows_nothing():
    one = SteeringVector(torch.ones(4), 2)
    names = ("anchored", "lifted", "continued-anchored", "continued-unanchored")
    same = table({("lifted", 1.0): HOLDS["anchored", 1.0]})
    assert c7(same, dict.fromkeys(names, one)).verdict == "not-supported"


def test_noise_alone_hardly_ever_supports_a_claim():
    rng = np.random.default_rng(0)
    supported = 0
    for _ in range(40):
        curves = {name: Curve.of(name, GRID, rng.normal(size=(20, 4))) for name in ("unanchored", "anchored")}
        supported += c4(curves, GRID).verdict == "supported"
    assert supported <= 1
