"""Anchor rows of every accepted form, and which of them a step reads."""

import pytest
from training_helpers import ANCHOR, RECIPE, ROWS, changed

from narrows.chat import Conversation
from narrows.errors import ConfigError, DataError, ModelError
from narrows.training import Anchor, RowOrder
from narrows.training.trainer import labelled_rows
from narrows.training.trainer.rows import anchor_passes, anchor_tokens
from tiny_models import make_tokenizer

ALL, RESPONSE = Anchor(weight=1.0), Anchor(weight=1.0, positions="response")


@pytest.fixture
def tokenizer():
    return make_tokenizer()


def test_every_form_of_a_conversation_gives_the_same_tokens(tokenizer, renderer):
    row = ANCHOR[2]
    (asked, answered) = row.as_dicts()
    wanted = renderer.render(row)
    (labelled,) = labelled_rows([row], tokenizer)
    forms = [
        row,
        row.to_json(),
        {"messages": row.as_dicts(), "tags": None, "text": None},
        {"prompt": asked["content"], "completion": answered["content"]},
        {"prompt": [asked], "completion": [answered]},
        labelled,
        {"input_ids": wanted.input_ids, "assistant_masks": list(map(int, wanted.response_mask))},
    ]
    for found in anchor_tokens(forms, tokenizer, RESPONSE):
        assert (found.input_ids, found.response_mask) == (wanted.input_ids, wanted.response_mask)


def test_a_dataset_of_rows_of_different_forms_is_read_although_it_fills_columns_with_none(
    tokenizer, renderer
):
    datasets = pytest.importorskip("datasets", reason="pip install 'narrows[data]'")
    rows = [ANCHOR[0].to_json() | {"tags": {"domain": "sea"}}, {"messages": ANCHOR[1].as_dicts()}]
    found = anchor_tokens(datasets.Dataset.from_list(rows), tokenizer, ALL)
    assert [row.input_ids for row in found] == [renderer.render(row).input_ids for row in ANCHOR[:2]]


def test_padding_in_tokenised_rows_is_taken_out_and_rows_are_cut():
    row = {
        "input_ids": [0, 0, 5, 6, 7, 8, 9],
        "attention_mask": [0, 0, 1, 1, 1, 1, 1],
        "labels": [-100, -100, -100, -100, 7, 8, 9],
    }
    (found,) = anchor_tokens([row], None, RESPONSE, max_length=4)
    assert found.input_ids == [5, 6, 7, 8]
    assert found.response_mask == [False, False, True, True]


def test_plain_text_is_read_as_such(tokenizer):
    text = "the sea is salt water ."
    for row in (text, {"text": text}):
        (found,) = anchor_tokens([row], tokenizer, ALL)
        assert found.input_ids == tokenizer(text)["input_ids"]


@pytest.mark.parametrize(
    ("rows", "anchor", "error", "words"),
    [
        ([], ALL, DataError, "anchor_dataset has no rows"),
        (iter(ANCHOR), ALL, ConfigError, "without a length.*stream.take"),
        ([{"input_ids": [1, 2, 3]}], RESPONSE, DataError, "anchor row 1: none of its 3 tokens"),
        (["some text"], RESPONSE, DataError, "plain text has no response"),
        ([{"input_ids": [1, 2], "labels": [1]}], ALL, DataError, "labels has 1 entries and input_ids 2"),
        ([ANCHOR[0], {"question": "?"}], ALL, DataError, 'anchor row 2: has no "messages"'),
        ([Conversation.from_pair("what ?")], ALL, DataError, "not the assistant's"),
    ],
)
def test_rows_that_cannot_be_used_are_refused_by_name(tokenizer, rows, anchor, error, words):
    with pytest.raises(error, match=words):
        anchor_tokens(rows, tokenizer, anchor)


def test_rows_that_are_no_tokens_need_a_tokenizer_and_conversations_its_template():
    with pytest.raises(ConfigError, match="processing_class=tokenizer"):
        anchor_tokens(ANCHOR, None, ALL)
    with pytest.raises(ModelError, match="chat template"):
        anchor_tokens(ANCHOR, make_tokenizer(template=None), ALL)
    assert len(anchor_tokens([{"input_ids": [1, 2]}], None, ALL)) == 1


def test_labels_are_the_response_of_our_own_rendering(tokenizer, renderer):
    for row, found in zip(ROWS, labelled_rows(ROWS, tokenizer), strict=True):
        wanted = renderer.render(row)
        assert found["input_ids"] == wanted.input_ids
        assert [label != -100 for label in found["labels"]] == wanted.response_mask
        assert all(
            label in (token, -100) for token, label in zip(found["input_ids"], found["labels"], strict=True)
        )
        assert found["attention_mask"] == [1] * len(wanted)
    assert labelled_rows([ROWS[0].to_json()], tokenizer, 15) == [
        {name: values[:15] for name, values in labelled_rows(ROWS[:1], tokenizer)[0].items()}
    ]


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize(("batch", "accumulation"), [(1, 4), (2, 2), (4, 1)])
def test_a_step_s_rows_are_those_of_our_own_order_whoever_reads_them(batch, accumulation, processes):
    anchor = RECIPE.anchor
    recipe = changed(batch_size=batch * processes, accumulation=accumulation)
    order = RowOrder(recipe, len(ROWS), len(ANCHOR))
    for step in (0, 1, 7):
        shares = []
        for process in range(processes):
            window, passes = anchor_passes(
                anchor,
                len(ANCHOR),
                step=step,
                seed=recipe.seed,
                batch_size=batch,
                accumulation=accumulation,
                process=process,
                processes=processes,
            )
            assert window == order.anchor_rows(step)
            assert all(len(places) <= max(1, round(batch * 1.5)) for places in passes)
            shares += [place for places in passes for place in places]
        assert sorted(shares) == sorted(window)
