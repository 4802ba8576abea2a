"""What an adapter does to ordinary text: KL from the chat model, and the loss, at several strengths."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from narrows.adapters import Adapter
from narrows.metrics.curves import Curve
from narrows.metrics.losses import kl_and_nll_of_rows
from narrows.models import ChatModel, FrozenRows


@dataclass(frozen=True)
class TextCost:
    """An adapter's effect on ordinary text by scale; units of the bands: texts.

    Attributes:
        kl: KL(P_chat ‖ P_adapted), nats per token: significance (paper §5) at these scales.
        loss: −log P of the text, nats per token.
        rise: the loss minus the chat model's, paired text by text.
        chat: the chat model's loss, at one point, scale 0.
    """

    kl: Curve
    loss: Curve
    rise: Curve
    chat: Curve


def text_cost(
    chat_model: ChatModel, texts: FrozenRows, adapter: Adapter, scales: Sequence[float]
) -> TextCost:
    """KL from the chat model and loss on ordinary text with an adapter scaled by each factor.

    All scales go in one batch, with the chat model (scale 0) beside them.

    Args:
        chat_model: the model.
        texts: raw texts behind the adapter's depth, all tokens read, with the chat model's states.
        adapter: the adapter.
        scales: factors on it, (points,).

    Raises:
        AdapterError: the adapter does not fit the texts.
        ConfigError: the texts do not hold the chat model's states.
        DataError: there are fewer than two texts, or a value is not finite.
    """
    grid = np.array(scales, dtype=float)
    variants = [adapter.scaled(float(scale)) for scale in (0.0, *grid)]
    kl, loss = (one.contributions.T for one in kl_and_nll_of_rows(chat_model, texts, variants))
    return TextCost(
        kl=Curve.of("KL", grid, kl[:, 1:]),
        loss=Curve.of("loss", grid, loss[:, 1:]),
        rise=Curve.of("rise of the loss", grid, loss[:, 1:] - loss[:, :1]),
        chat=Curve.of("loss of the chat model", np.zeros(1), loss[:, :1]),
    )
