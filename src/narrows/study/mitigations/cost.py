"""What a mitigation costs: rows and tokens read in the training, and time while the model answers."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import torch

from narrows.chat import Rendered, collate
from narrows.evaluation import Suite
from narrows.evaluation.questions import questions_of
from narrows.interventions import attached
from narrows.interventions.base import Intervention
from narrows.models import ChatModel, inner_model
from narrows.study.mitigations.arms import Arm
from narrows.training import prepare
from narrows.training.order import RowOrder

TIMED_ROWS = 32
REPEATS = 9


@dataclass(frozen=True)
class TrainingCost:
    """What a training reads, the anchor's rows included: each row goes once forwards and once backwards."""

    rows: int
    tokens: int


def training_cost(chat_model: ChatModel, arm: Arm) -> TrainingCost:
    """Rows and tokens that the training of an arm reads, counted from the order in which it reads them.

    Raises:
        DataError: as :func:`narrows.training.train`.
    """
    rows = prepare.training_rows(chat_model, arm.rows, arm.recipe)
    anchor = prepare.anchor_rows(chat_model, arm.anchor, arm.recipe)
    order = RowOrder(arm.recipe, len(rows), len(anchor))
    lengths: list[int] = []
    for step in range(order.steps):
        lengths += [len(rows[place]) for place in order.training_rows(step)]
        if anchor and arm.recipe.anchor.weight_at(step) > 0:
            lengths += [len(anchor[place]) for place in order.anchor_rows(step)]
    return TrainingCost(len(lengths), sum(lengths))


@torch.no_grad()
def slowdown(
    chat_model: ChatModel, suites: Sequence[Suite], interventions: Sequence[Intervention]
) -> float | None:
    """Seconds of a forward pass with interventions as a multiple of those without; None if there are none.

    Median of ratios of passes that alternate, over the same questions in one batch. On a small model the
    hooks' own overhead is most of it; on a large one hardly any.
    """
    if not interventions:
        return None
    questions = questions_of(suites)[:TIMED_ROWS]
    rows = [Rendered(prompt, [False] * len(prompt)) for prompt in map(chat_model.renderer.prompt, (
        question.messages() for question in questions
    ))]  # fmt: skip
    batch = collate(rows, chat_model.pad_id).to(chat_model.device)
    model = inner_model(chat_model.model)

    def seconds() -> float:
        started = time.perf_counter()
        found = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, use_cache=False)
        float(found.last_hidden_state[0, 0, 0])  # waits for the device
        return time.perf_counter() - started

    seconds()
    ratios = []
    for _ in range(REPEATS):
        plain = seconds()
        with attached(chat_model, interventions):
            ratios.append(seconds() / plain)
    return median(ratios)
