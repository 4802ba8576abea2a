"""Significance: how much steering with a direction moves next-token predictions on plain text (paper §5)."""

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor

from narrows.adapters import Adapter, square_root
from narrows.metrics import published
from narrows.metrics.curves import Curve, Floats
from narrows.metrics.losses import kl_of_rows
from narrows.models import ChatModel, FrozenRows

ALL = "all"
"""The name of all texts together, whatever their type."""

RANDOM_DIRECTIONS = 5
"""How many random directions stand beside a trained one (paper §5: at least five)."""


def random_directions(
    like: Adapter, count: int = RANDOM_DIRECTIONS, *, covariance: Tensor | None = None, seed: int = 0
) -> list[Adapter]:
    """Random adapters at the place and of the effective norm of another.

    Args:
        like: gives place, kind, norms and device.
        count: how many.
        covariance: (hidden, hidden), of the residual stream; None draws all directions alike. A Gaussian with
            this covariance points where the model's activations vary: the harder control.
        seed: draws them.
    """
    generator = torch.Generator().manual_seed(seed)
    root = None if covariance is None else square_root(covariance)
    return [like.random_like(generator, root).scaled_to(like.effective_norm) for _ in range(count)]


def significance(
    chat_model: ChatModel,
    texts: FrozenRows,
    directions: Mapping[str, Adapter | Sequence[Adapter]],
    norms: Floats,
    groups: Mapping[str, Sequence[int]] | None = None,
    *,
    as_published: Collection[published.MetricDefect] = (),
) -> dict[str, dict[str, Curve]]:
    """KL(P_chat ‖ P_steered), nats per token of text, for each direction scaled to each effective norm.

    Where a name holds several adapters (random ones), the curve is their mean. Units of the bands: texts.

    Args:
        chat_model: the model.
        texts: raw texts behind the adapters' depth, all tokens read, with the chat model's states.
        directions: by name.
        norms: effective norms, (points,).
        groups: the places of the texts of each type; every type gets its own curves.
        as_published: defects of the published metric to reproduce.

    Returns:
        The type of text (:data:`ALL` first), then the direction's name, to its curve.

    Raises:
        AdapterError: a direction is zero, or does not fit the texts.
        ConfigError: the texts do not hold the chat model's states.
        DataError: a type has fewer than two texts, or a KL is not finite.
    """
    places: dict[str, Sequence[int]] = {ALL: range(len(texts)), **(groups or {})}
    dtype = torch.bfloat16 if "kl-bf16" in as_published else None
    result: dict[str, dict[str, Curve]] = {group: {} for group in places}
    for name, given in directions.items():
        adapters = list(given) if isinstance(given, Sequence) else [given]
        variants = [
            published.scaled_to(adapter, float(norm), as_published) for adapter in adapters for norm in norms
        ]
        losses = kl_of_rows(chat_model, texts, variants, dtype)
        for group, chosen in places.items():
            some = losses.of_rows(chosen)
            if "batch-means" in as_published:
                some = some.by_batches(published.BATCH)
            samples = some.contributions.reshape(len(adapters), len(norms), -1).mean(axis=0)
            result[group][name] = Curve.of(name, norms, samples.T)
    return result
