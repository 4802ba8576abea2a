"""The loss on ordinary text of a model with an adapter and interventions, and how it changes by them."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import pad

from narrows.adapters import Adapter
from narrows.chat import Rendered, collate, length_order
from narrows.errors import DataError
from narrows.interventions import Intervention, attached
from narrows.metrics.curves import Curve
from narrows.metrics.losses import BATCH_ROWS, RowLosses
from narrows.models import ChatModel, Head, inner_model, token_nll
from narrows.progress import bar


@torch.no_grad()
def text_loss(
    chat_model: ChatModel,
    texts: Sequence[Rendered],
    *,
    adapter: Adapter | None = None,
    interventions: Sequence[Intervention] = (),
    description: str = "loss of texts",
) -> RowLosses:
    """−log P of every token of some texts but the first, with everything attached to the whole model.

    Interventions may act anywhere, so no part of the model is run once for several: what is only an adapter
    at several strengths is cheaper by :func:`narrows.metrics.text_cost`.

    Args:
        chat_model: the model.
        texts: rendered texts.
        adapter: attached first.
        interventions: attached after it; each acts on what those before it left.
        description: beside the progress bar.

    Returns:
        The sums of one variant, (1, texts), fp64, nats.

    Raises:
        AdapterError: the adapter or an intervention does not fit the model.
        DataError: there is no text, or one has a single token.
    """
    if not texts or min(map(len, texts)) < 2:
        raise DataError("the loss of texts needs at least one text, and each of at least two tokens.")
    sums = np.zeros((1, len(texts)))
    counts = np.array([len(text) - 1.0 for text in texts])
    inner, head, order = inner_model(chat_model.model), Head(chat_model.model), length_order(texts)
    adapted = nullcontext() if adapter is None else adapter.placed(chat_model.model).attach(chat_model.model)
    with adapted, attached(chat_model, interventions), bar(description, len(texts)) as shown:
        for start in range(0, len(order), BATCH_ROWS):
            places = order[start : start + BATCH_ROWS]
            batch = collate([texts[place] for place in places], chat_model.pad_id).to(chat_model.device)
            # (rows, tokens, hidden); the logits of the whole batch never exist.
            final = inner(input_ids=batch.input_ids, attention_mask=batch.attention_mask, use_cache=False)
            positions = pad(batch.target_positions("all"), (0, 1))
            targets = pad(batch.input_ids[:, 1:], (0, 1))[positions]
            states = final.last_hidden_state
            losses = token_nll(head, states[positions.to(states.device)], targets).double()
            row_of = positions.nonzero()[:, 0].to(losses.device)
            of_rows = losses.new_zeros(len(places)).index_add_(0, row_of, losses)
            sums[0, places] = of_rows.cpu().numpy()
            shown.advance(len(places))
    return RowLosses(sums, counts)


@dataclass(frozen=True)
class TextChange:
    """How the loss on ordinary text changes, with 95 % intervals over texts (at one point, 0).

    Attributes:
        before: the loss before, nats per token.
        after: the loss after.
        rise: after minus before, paired text by text.
        ratio: after over before (1 is unchanged), paired: the ratio estimator Σ after / Σ before, linearised.
    """

    before: Curve
    after: Curve
    rise: Curve
    ratio: Curve


def text_change(before: RowLosses, after: RowLosses) -> TextChange:
    """Compare the losses of the same texts before and after.

    Raises:
        DataError: they are not of the same texts, there are fewer than two, or a loss is not finite.
    """
    if before.counts.tolist() != after.counts.tolist():
        raise DataError("a change of the loss is paired by text, and these are losses of different texts.")
    first, second = before.contributions[0], after.contributions[0]
    ratio = second.mean() / first.mean()
    at_one = np.zeros(1)

    def curve(name: str, samples: np.ndarray) -> Curve:
        return Curve.of(name, at_one, samples[:, None])

    return TextChange(
        before=curve("loss before", first),
        after=curve("loss after", second),
        rise=curve("rise of the loss", second - first),
        # Contributions minus their own mean sum to 0, so the mean of these is the ratio.
        ratio=curve("ratio of the losses", ratio + (second - ratio * first) / first.mean()),
    )
