"""How an intervention changes the loss on ordinary text."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from narrows.adapters import Adapter
from narrows.chat import Rendered, collate
from narrows.errors import DataError
from narrows.interventions import attached
from narrows.interventions.base import Intervention
from narrows.models import ChatModel, Head, inner_model, token_nll
from narrows.statistics import mean_interval

BATCH_ROWS = 16


@dataclass(frozen=True)
class TextChange:
    """The loss on ordinary text under interventions as a share of the loss without them (1 is unchanged).

    Attributes:
        ratio: Σ after / Σ before.
        ratio_ci95: over texts, paired: of the linearised ratio.
    """

    ratio: float
    ratio_ci95: tuple[float, float]


def text_change(
    chat_model: ChatModel,
    texts: Sequence[Rendered],
    adapter: Adapter | None,
    interventions: Sequence[Intervention],
) -> TextChange:
    """The change by interventions in a model with an adapter.

    Args:
        chat_model: the model.
        texts: at least two, each of at least two tokens.
        adapter: attached before and after.
        interventions: attached after it.

    Raises:
        DataError: there are too few texts, or one is too short.
    """
    if len(texts) < 2 or min(map(len, texts)) < 2:
        raise DataError("a change on ordinary text needs at least two texts, each of at least two tokens.")
    before = _losses(chat_model, texts, adapter, ())
    if not interventions:
        return TextChange(1.0, (1.0, 1.0))
    after = _losses(chat_model, texts, adapter, interventions)
    ratio = float(after.sum() / before.sum())
    linear = mean_interval(ratio + (after - ratio * before) / before.mean())
    return TextChange(ratio, (linear.low, linear.high))


@torch.no_grad()
def _losses(
    chat_model: ChatModel,
    texts: Sequence[Rendered],
    adapter: Adapter | None,
    interventions: Sequence[Intervention],
) -> NDArray[np.float64]:
    """Summed −log P of each text's tokens but the first, (texts,), nats."""
    model, head = chat_model.model, Head(chat_model.model)
    sums = np.zeros(len(texts))
    with (
        nullcontext() if adapter is None else adapter.placed(model).attach(model),
        attached(chat_model, interventions),
    ):
        for start in range(0, len(texts), BATCH_ROWS):
            some = texts[start : start + BATCH_ROWS]
            batch = collate(some, chat_model.pad_id).to(chat_model.device)
            states = inner_model(model)(
                input_ids=batch.input_ids, attention_mask=batch.attention_mask, use_cache=False
            ).last_hidden_state
            for place, text in enumerate(some):
                last = len(text) - 1
                losses = token_nll(head, states[place, :last], batch.input_ids[place, 1 : last + 1])
                sums[start + place] = float(losses.double().sum())
    return sums
