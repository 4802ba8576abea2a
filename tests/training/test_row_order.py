from itertools import chain

import pytest

from narrows.training import Recipe, RowOrder


def make(rows: int = 10, anchor_rows: int = 0, **fields: object) -> RowOrder:
    return RowOrder(Recipe(batch_size=2, accumulation=2, **fields), rows, anchor_rows)


def test_every_epoch_reads_each_row_once_in_another_order():
    order = make(rows=10, epochs=3)
    assert order.steps == 9
    windows = [order.training_rows(step) for step in range(9)]
    assert [len(window) for window in windows] == [4, 4, 2] * 3  # no window crosses an epoch's end
    epochs = [list(chain(*windows[first : first + 3])) for first in (0, 3, 6)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_the_window_s_size_is_all_that_batch_size_and_accumulation_decide():
    one, other = (RowOrder(Recipe(batch_size=b, accumulation=a), 20, 7) for b, a in [(1, 8), (8, 1)])
    for step in range(6):
        assert one.training_rows(step) == other.training_rows(step)
        assert one.anchor_rows(step) == other.anchor_rows(step)


def test_anchor_rows_come_in_one_order_cycled():
    order = make(anchor_rows=7, anchor={"weight": 1, "rows_per_row": 1.5})
    read = list(chain.from_iterable(order.anchor_rows(step) for step in range(7)))
    assert len(read) == 7 * 6
    assert sorted(read[:7]) == list(range(7))
    assert read == read[:7] * 6


@pytest.mark.parametrize(("ratio", "rows"), [(0.01, 1), (0.5, 2), (1, 4), (4, 16)])
def test_the_ratio_of_anchor_rows_holds_for_a_whole_step(ratio: float, rows: int):
    order = make(anchor_rows=3, anchor={"weight": 1, "rows_per_row": ratio})
    assert len(order.anchor_rows(5)) == rows


def test_a_step_s_rows_depend_on_the_seed_and_the_step_alone():
    order, again, other = (
        make(seed=1, anchor_rows=9),
        make(seed=1, anchor_rows=9),
        make(seed=2, anchor_rows=9),
    )
    assert order.training_rows(0) == again.training_rows(0)
    assert order.training_rows(4) == again.training_rows(4)
    assert order.anchor_rows(4) == again.anchor_rows(4)
    assert order.training_rows(0) != other.training_rows(0)
    assert order.anchor_rows(0) != other.anchor_rows(0)


@pytest.mark.parametrize(
    ("fields", "steps"), [({"epochs": 2}, 6), ({"epochs": 0.1}, 1), ({"epochs": 2, "steps": 4}, 4)]
)
def test_steps_override_epochs(fields: dict[str, float], steps: int):
    assert make(rows=10, **fields).steps == steps


def test_passes_cut_a_window_without_losing_a_row():
    assert list(RowOrder.passes([3, 1, 4, 1, 5], 2)) == [[3, 1], [4, 1], [5]]
