import pytest
import torch

from narrows.chat import Conversation, Rendered, Renderer, batches, collate, length_order
from narrows.errors import DataError

ROWS = [
    Rendered([5, 6, 7, 9], [False, False, True, True], "a"),
    Rendered([8, 9], [False, True], "b"),
    Rendered([5, 9, 9], [False, True, True], "c"),
]


@pytest.mark.parametrize("side", ["right", "left"])
def test_masks_come_from_lengths_even_where_padding_is_the_end_of_turn(side: str):
    batch = collate(ROWS, pad_id=9, side=side)
    assert batch.attention_mask.sum(dim=1).tolist() == [4, 2, 3]
    for place, row in enumerate(ROWS):
        real = batch.attention_mask[place].bool()
        assert batch.input_ids[place][real].tolist() == row.input_ids
        assert batch.response_mask[place][real].tolist() == row.response_mask
        assert not batch.response_mask[place][~real].any()
        assert (batch.input_ids[place][~real] == 9).all()
    assert batch.attention_mask[1].tolist() == ([1, 1, 0, 0] if side == "right" else [0, 0, 1, 1])


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("which", ["response", "all"])
def test_target_positions_select_the_same_targets_padded_or_alone(side: str, which: str):
    batch = collate(ROWS, pad_id=9, side=side)
    positions = batch.target_positions(which)
    assert positions.shape == (3, 3)
    for place, row in enumerate(ROWS):
        alone = collate([row], pad_id=0)
        wanted = alone.input_ids[:, 1:][alone.target_positions(which)]
        assert batch.input_ids[place, 1:][positions[place]].tolist() == wanted.tolist()
    expected = {"response": [7, 9, 9, 9, 9], "all": [6, 7, 9, 9, 9, 9]}
    assert batch.input_ids[:, 1:][positions].tolist() == expected[which]


def test_the_first_token_is_never_a_target_because_nothing_stands_before_it():
    batch = collate([Rendered([5, 6], [True, True]), ROWS[0]], pad_id=0, side="left")
    assert batch.target_positions("response")[0].tolist() == [False, False, True]


def test_batches_hold_every_row_once_sorted_or_not():
    for sort in (False, True):
        found = list(batches(ROWS, 2, pad_id=0, sort_by_length=sort))
        assert [len(batch) for batch in found] == [2, 1]
        order = length_order(ROWS) if sort else [0, 1, 2]
        rows = [
            row[mask.bool()].tolist()
            for b in found
            for row, mask in zip(b.input_ids, b.attention_mask, strict=True)
        ]
        assert rows == [ROWS[place].input_ids for place in order]
    assert length_order(ROWS) == [1, 2, 0]
    assert next(iter(batches(ROWS, 2, pad_id=0, sort_by_length=True))).input_ids.shape == (2, 3)


def test_a_batch_moves_whole_and_needs_a_row():
    moved = collate(ROWS, 0).to("meta")
    assert {
        moved.input_ids.device.type,
        moved.attention_mask.device.type,
        moved.response_mask.device.type,
    } == {"meta"}
    assert moved.response_mask.dtype == torch.bool
    with pytest.raises(DataError, match="at least one row"):
        collate([], 0)


def test_rendered_pairs_read_as_many_targets_as_they_have_response_tokens(
    renderer: Renderer, conversations: list[Conversation]
):
    rows = [renderer.render(conversation) for conversation in conversations]
    batch = collate(rows, pad_id=renderer.tokenizer.eos_token_id)
    assert int(batch.target_positions("response").sum()) == sum(sum(row.response_mask) for row in rows)
    assert int(batch.target_positions("all").sum()) == sum(len(row) - 1 for row in rows)
