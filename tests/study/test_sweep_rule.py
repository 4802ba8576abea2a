"""The rule that recommends a cell, on cells made by hand."""

import pytest

from narrows.study.sweep.cells import Cell, Measured
from narrows.study.sweep.rule import Recommendation, recommend


def around(value: float, half: float = 0.05) -> Measured:
    return Measured(value, (max(value - half, -1.0), min(value + half, 1.0)))


def cell(
    scale: float = 1.0,
    layer: int | None = 2,
    *,
    rate: float = 0.6,
    half: float = 0.05,
    coherent: float | None = 0.98,
    kl: float = 0.1,
    scored: float = 1.0,
) -> Cell:
    return Cell(
        direction="chat" if layer is None else "v",
        kind=None if layer is None else "steering",
        layer=layer,
        scale=scale,
        effective_norm=10 * scale,
        residual_share=None,
        rates={"in_domain": around(rate, half)},
        above_chat=around(rate, half),
        answers=100,
        scored=scored,
        coherent=None if coherent is None else around(coherent, 0.02),
        kl=around(kl, kl / 2),
        loss=around(3 + kl),
        loss_rise=around(kl),
    )


CHAT = cell(0.0, None, rate=0.0, half=0.02, kl=0.0)


def advice(*cells: Cell, floor: float = 0.9, chat: Cell = CHAT) -> Recommendation:
    found = recommend(chat, cells, "in_domain", floor)
    others = [one for one in cells if one is not found.cell]
    assert sorted(map(id, others)) == sorted(id(one.cell) for one in found.set_aside)
    return found


def why(found: Recommendation, one: Cell) -> str:
    return next(aside.why for aside in found.set_aside if aside.cell is one)


def test_of_equally_good_cells_the_one_with_the_least_kl_is_taken():
    best, quieter, weaker = (
        cell(2.0, rate=0.66, kl=0.4),
        cell(1.5, rate=0.6, kl=0.2),
        cell(1.0, rate=0.3, kl=0.01),
    )
    found = advice(best, quieter, weaker)
    assert found.cell is quieter
    assert "2 cannot be told from the best rate, 66 % [61, 71], that of v, layer 2, 2 ×" in found.reason
    assert "KL 0.4 on ordinary text and not 0.2" in why(found, best)
    assert "30 % [25, 35] on in_domain is below the best" in why(found, weaker)


def test_intervals_that_touch_overlap_and_those_that_do_not_quite_do_not():
    best = cell(2.0, rate=0.75, half=0.125, kl=0.4)
    touching, short = cell(1.0, rate=0.5, half=0.125, kl=0.1), cell(0.5, rate=0.49, half=0.125, kl=0.1)
    found = advice(best, short, touching)
    assert found.cell is touching
    assert "below the best" in why(found, short)


def test_a_cell_that_may_have_lost_its_coherence_is_not_the_best_either():
    broken, sound = cell(3.0, rate=0.9, coherent=0.89, kl=2.0), cell(1.0, rate=0.4, kl=0.1)
    found = advice(broken, sound)
    assert found.cell is sound
    assert (
        why(found, broken)
        == "coherent 89 % [87, 91]: the lower end is under 88 %, 0.9 of the chat model's 98 %"
    )
    assert advice(broken, sound, floor=0.8).cell is broken


def test_ties_go_to_the_smaller_scale_then_to_the_lower_layer_then_to_the_first():
    far, near = cell(1.0, 3), cell(1.0, 1)
    assert advice(cell(2.0, 1), far, near).cell is near
    assert advice(cell(2.0, 0), cell(-0.5, 5), cell(-2.0, 0), near).cell.scale == -0.5
    twin = cell(1.0, 1)
    found = advice(twin, near)
    assert found.cell is twin
    assert "no smaller" in why(found, near)


def test_without_the_behaviour_nothing_is_recommended():
    found = advice(cell(1.0, rate=0.02), cell(2.0, rate=0.05))
    assert found.cell is None
    assert "of 2 cells none shows the behaviour on in_domain" in found.reason
    assert found.set_aside[0].why == "does not show the behaviour: +2 points [-3, +7] against the chat model"
    assert advice(cell(1.0, rate=0.06)).cell is not None


def test_a_chat_model_that_shows_the_behaviour_itself_is_subtracted():
    usual = cell(0.0, None, rate=0.6)
    same = cell(1.0, rate=0.6)
    same = Cell(**vars(same) | {"above_chat": around(0.0)})
    assert advice(same, chat=usual).cell is None


def test_a_behaviour_that_comes_only_with_noise_is_not_recommended():
    found = advice(cell(2.0, coherent=0.5), cell(1.0, rate=0.0))
    assert found.cell is None
    assert "1 shows the behaviour, but none is sure to stay coherent" in found.reason
    assert "Try smaller scales" in found.reason


def test_too_few_questions_to_tell_coherence_are_named_as_the_cause():
    unsure = Cell(**vars(CHAT) | {"coherent": Measured(1.0, (0.8, 1.0))})
    shown = Cell(**vars(cell()) | {"coherent": Measured(1.0, (0.8, 1.0))})
    found = advice(shown, chat=unsure)
    assert found.cell is None
    assert "The chat model's own lower end, 80 %, is under it too: ask more questions." in found.reason


@pytest.mark.parametrize("broken", [cell(scored=0.4), cell(coherent=None)])
def test_cells_without_scores_are_set_aside_first(broken: Cell):
    found = advice(broken)
    assert found.cell is None
    assert "of 1 cell none has enough answers with scores" in found.reason
    assert advice(broken, cell(2.0)).cell.scale == 2.0


def test_one_cell_is_recommended_alone_and_no_cells_give_nothing():
    found = advice(cell())
    assert found.reason.startswith("v, layer 2, 1 ×: of 1 cell, 1 shows the behaviour more often")
    assert "cannot be told" not in found.reason
    assert advice().cell is None
