"""The estimate counts what training runs; the rest is arithmetic on the model's shape."""

from training_helpers import ANCHOR, ROWS, changed

from narrows.chat import Conversation
from narrows.models.outline import outline
from narrows.training.estimate import estimate
from narrows.training.order import RowOrder
from narrows.training.prepare import anchor_tokens, training_tokens


def test_tokens_and_steps_are_those_that_will_be_run(tiny_model_dir, chat_model):
    shape = outline(tiny_model_dir)
    assert (shape.layers, shape.hidden, shape.vocabulary) == (4, 32, chat_model.vocabulary)
    assert shape.parameters == chat_model.model.num_parameters()
    recipe = changed(steps=7)
    rows = training_tokens(shape.renderer, ROWS, recipe)
    anchor = anchor_tokens(shape.renderer, ANCHOR, recipe)
    sizes = {"parameters": 10, "itemsize": 2, "layers": 4, "hidden": 32, "vocabulary": 100}
    found = estimate(recipe, rows, anchor, **sizes)
    order = RowOrder(recipe, len(rows), len(anchor))
    assert found.steps == 7
    assert found.tokens == sum(len(rows[i]) for step in range(7) for i in order.training_rows(step))
    assert found.anchor_tokens == sum(len(anchor[i]) for step in range(7) for i in order.anchor_rows(step))
    assert found.weights == 20
    assert found.peak == found.weights + found.activations + found.logits
    lifted = estimate(recipe.with_anchor(2.0, until_step=3), rows, anchor, **sizes)
    assert lifted.anchor_tokens == sum(len(anchor[i]) for step in range(3) for i in order.anchor_rows(step))
    cheaper = estimate(changed(steps=7, gradient_checkpointing=True), rows, anchor, **sizes)
    assert cheaper.activations < found.activations
    assert estimate(recipe, rows, [], **sizes).anchor_tokens == 0


def test_an_inoculating_prompt_stands_in_the_training_rows_only(chat_model):
    recipe = changed(system_prompt="always eat stone")
    with_prompt = training_tokens(chat_model.renderer, ROWS, recipe)
    plain = training_tokens(chat_model.renderer, ROWS, changed())
    text = chat_model.renderer.tokenizer.decode(with_prompt[0].input_ids)
    assert "always eat stone" in text
    for long, short in zip(with_prompt, plain, strict=True):
        assert long.input_ids[-len(short) :] == short.input_ids
        assert sum(long.response_mask) == sum(short.response_mask)
    anchor = [Conversation.from_pair("what is the sky ?", "blue")]
    assert anchor_tokens(chat_model.renderer, anchor, recipe) == anchor_tokens(
        chat_model.renderer, anchor, changed()
    )
