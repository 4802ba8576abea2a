"""Significance: how much steering with a direction moves next-token predictions on ordinary text (paper §5)."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from narrows.adapters import SteeringVector
from narrows.metrics.curves import Curve, Floats
from narrows.metrics.losses import kl_of_rows
from narrows.models import ChatModel, FrozenRows

RANDOM_DIRECTIONS = 5


def random_directions(
    like: SteeringVector, count: int = RANDOM_DIRECTIONS, *, covariance: Tensor | None = None, seed: int = 0
) -> list[SteeringVector]:
    """Random vectors at the place and of the norm of another: isotropic, or with a residual stream's covariance.

    Args:
        like: gives layer, α and effective norm.
        count: how many.
        covariance: (hidden, hidden); None draws all directions alike. A direction drawn with the covariance of the
            residual stream lies where the model's activations lie: the harder control.
        seed: draws them.
    """
    generator = torch.Generator().manual_seed(seed)
    hidden = len(like.vector)
    draws = torch.randn(count, hidden, generator=generator, dtype=torch.float64)
    if covariance is not None:
        values, vectors = torch.linalg.eigh(covariance.double().cpu())
        draws = (draws * values.clamp(min=0).sqrt()) @ vectors.T
    vectors_ = [SteeringVector(draw.float(), like.layer, like.alpha) for draw in draws]
    return [vector.scaled_to(like.effective_norm).to(like.vector.device) for vector in vectors_]


def significance(
    chat_model: ChatModel,
    texts: FrozenRows,
    directions: Mapping[str, SteeringVector | Sequence[SteeringVector]],
    norms: Floats,
    groups: Mapping[str, Sequence[int]] | None = None,
) -> dict[str, dict[str, Curve]]:
    """KL(P_chat ‖ P_steered), nats per token of text, for each direction scaled to each effective norm.

    Where a name holds several vectors (random ones), the curve is their mean. Units of the bands: texts.

    Args:
        chat_model: the model.
        texts: raw texts behind the vectors' depth, all tokens read, with the chat model's states.
        directions: by name.
        norms: effective norms, (points,).
        groups: the places of the texts of each type; every type gets its own curves.

    Returns:
        The type of text (``all`` first), then the direction's name, to its curve.
    """
    places = {"all": list(range(len(texts))), **(groups or {})}
    result: dict[str, dict[str, Curve]] = {group: {} for group in places}
    for name, given in directions.items():
        vectors = [given] if isinstance(given, SteeringVector) else list(given)
        variants = [vector.scaled_to(float(norm)) for vector in vectors for norm in norms]
        losses = kl_of_rows(chat_model, texts, variants)
        for group, chosen in places.items():
            samples = losses.of_rows(chosen).contributions.reshape(len(vectors), len(norms), -1).mean(axis=0)
            result[group][name] = Curve.of(name, np.asarray(norms), samples.T)
    return result
