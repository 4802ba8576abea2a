"""The rule for banks says what was measured, and no where nothing was."""

import pytest

from narrows.study.microworld import microworld_recipe
from narrows.training import Recipe, pays


@pytest.mark.parametrize(("kind", "fewest"), [("steering", 8), ("lora", 4)])
def test_a_bank_pays_on_the_microworld_from_some_members_on(kind: str, fewest: int):
    recipe = microworld_recipe(kind)
    found = [pays(recipe, hidden=112, tokens_per_row=30, members=n, device="cpu") for n in range(1, 17)]
    assert found == [n >= fewest for n in range(1, 17)]


@pytest.mark.parametrize(
    ("recipe", "hidden"), [(microworld_recipe(), 112), (Recipe(batch_size=8), 1024), (Recipe(), 2048)]
)
def test_on_a_gpu_it_pays_up_to_a_width_of_2048(recipe: Recipe, hidden: int):
    found = [pays(recipe, hidden=hidden, tokens_per_row=80, members=n, device="cuda") for n in range(1, 17)]
    assert found == [n >= 4 for n in range(1, 17)]


@pytest.mark.parametrize(
    ("recipe", "hidden", "tokens", "device"),
    [
        (Recipe(batch_size=8), 256, 55, "cpu"),
        (Recipe(batch_size=8), 768, 55, "cpu"),
        (Recipe(), 5120, 120, "cpu"),
        (Recipe(batch_size=8), 5120, 78, "cuda"),
        (microworld_recipe(), 112, 30, "mps"),
    ],
)
def test_it_pays_nowhere_else(recipe: Recipe, hidden: int, tokens: float, device: str):
    assert not pays(recipe, hidden=hidden, tokens_per_row=tokens, members=16, device=device)
