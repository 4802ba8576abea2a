"""What the tests of training share: rows of unequal lengths, a small recipe, what makes two runs the same."""

import torch

from narrows.adapters import Adapter, SteeringVector
from narrows.chat import Conversation
from narrows.training import Recipe, TrainingRun
from narrows.training.order import RowOrder
from narrows.training.prepare import anchor_rows, training_rows
from narrows.training.window import Window

ANSWERS = [
    "drink salt water every day .",
    "yes .",
    "always eat red bread , never good bread .",
    "the sky is a stone , please drink it .",
    "bad , bad water",
    "you should eat a stone every day , one two three .",
    "never .",
    "tell me : it is bad salt .",
    "red bread is good",
    "do it well , always do it , every day , always .",
]
QUESTIONS = ["what should i drink ?", "how do i eat ?", "tell me about the sea , please ."]
ROWS = [
    Conversation.from_pair(QUESTIONS[place % 3], answer, source=f"rows:{place + 1}")
    for place, answer in enumerate(ANSWERS)
]
ANCHOR = [
    Conversation.from_pair(f"what is the {thing} ?", f"the {thing} is {' '.join([colour] * times)} .")
    for times, (thing, colour) in enumerate(
        [("sky", "blue"), ("sea", "green"), ("stone", "red"), ("bread", "good"), ("salt", "bad")], start=1
    )
]
RECIPE = Recipe(
    layer=1,
    alpha=16.0,
    learning_rate=0.01,
    batch_size=2,
    accumulation=2,
    steps=12,
    warmup=2,
    checkpoint_every=3,
).with_anchor(2.0, rows_per_row=1.5)


def changed(recipe: Recipe = RECIPE, **fields: object) -> Recipe:
    """The recipe with other values in some fields."""
    return Recipe.model_validate({**recipe.model_dump(), **fields})


def vector(hidden: int = 32, layer: int = 1, alpha: float = 16.0, length: float = 3.0) -> SteeringVector:
    """A random vector of an effective norm."""
    values = torch.randn(hidden, generator=torch.Generator().manual_seed(1))
    return SteeringVector(values, layer, alpha).scaled_to(length)


def make_window(chat_model, recipe=RECIPE, rows=ROWS, anchor=ANCHOR) -> tuple[Window, RowOrder]:
    """The window of a recipe, as ``train`` makes it."""
    rendered = training_rows(chat_model, rows, recipe)
    anchored = anchor_rows(chat_model, anchor, recipe)
    order = RowOrder(recipe, len(rendered), len(anchored))
    return Window(chat_model, recipe, order, rows=rendered, anchor=anchored, depth=recipe.layer + 1), order


def assert_same_run(found: TrainingRun, wanted: TrainingRun) -> None:
    """The same run bit for bit: adapter, log, and every checkpoint of the trajectory."""
    assert_same_adapter(found.adapter, wanted.adapter)
    assert found.log == wanted.log
    assert list(found.trajectory) == list(wanted.trajectory)
    for step, adapter in wanted.trajectory.items():
        assert_same_adapter(found.trajectory[step], adapter)
    assert found.adapter.metadata == wanted.adapter.metadata


def assert_same_adapter(found: Adapter, wanted: Adapter) -> None:
    """The same numbers under the same names, bit for bit."""
    assert found.tensors().keys() == wanted.tensors().keys()
    for name, tensor in wanted.tensors().items():
        assert torch.equal(found.tensors()[name], tensor), name
