import pytest
from pydantic import ValidationError

from narrows.training import Anchor, Recipe


def test_the_rate_warms_up_peaks_and_falls_linearly_to_zero():
    recipe = Recipe(learning_rate=6.0, warmup=2)
    assert [recipe.rate_at(step, 6) for step in range(6)] == pytest.approx([2, 4, 6, 4.5, 3, 1.5])
    assert recipe.rate_at(6, 6) == 0


def test_without_warm_up_the_first_step_has_the_whole_rate():
    recipe = Recipe(learning_rate=1.0, warmup=0)
    assert [recipe.rate_at(step, 4) for step in range(4)] == [1, 0.75, 0.5, 0.25]


def test_a_run_shorter_than_its_warm_up_stays_in_it():
    recipe = Recipe(learning_rate=6.0, warmup=5)
    assert [recipe.rate_at(step, 2) for step in range(2)] == pytest.approx([1, 2])


def test_the_anchor_s_weight_is_constant_added_or_lifted():
    assert [Anchor(weight=2).weight_at(step) for step in (0, 99)] == [2, 2]
    added_and_lifted = Anchor(weight=2, from_step=2, until_step=4)
    assert [added_and_lifted.weight_at(step) for step in range(6)] == [0, 0, 2, 2, 0, 0]


@pytest.mark.parametrize(
    ("anchor", "anchored"),
    [
        (Anchor(), False),
        (Anchor(weight=1), True),
        (Anchor(weight=1, until_step=0), False),
        (Anchor(weight=1, from_step=3, until_step=3), False),
        (Anchor(weight=1, from_step=3), True),
    ],
)
def test_a_recipe_is_anchored_if_its_anchor_ever_has_a_weight(anchor: Anchor, anchored: bool):
    assert Recipe(anchor=anchor).anchored is anchored


def test_with_anchor_changes_only_the_anchor():
    recipe = Recipe(seed=3, anchor=Anchor(positions="response"))
    found = recipe.with_anchor(5.0, until_step=7)
    assert found.anchor == Anchor(weight=5, positions="response", until_step=7)
    assert (found.seed, recipe.anchor.weight) == (3, 0)


@pytest.mark.parametrize(
    "changes", [{"weight": -1.0}, {"weight": 1.0, "row_per_rows": 2}, {"weight": float("nan")}]
)
def test_with_anchor_refuses_what_an_anchor_refuses(changes: dict[str, float]):
    with pytest.raises(ValidationError):
        Recipe().with_anchor(**changes)


@pytest.mark.parametrize(
    "field", [{"learning_rate": float("inf")}, {"learning_rate": 0}, {"seed": -1}, {"steps": 0}, {"lr": 1}]
)
def test_values_that_cannot_be_trained_with_are_refused(field: dict[str, float]):
    with pytest.raises(ValidationError):
        Recipe(**field)
