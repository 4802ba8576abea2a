"""Significance: how much steering with a direction moves next-token predictions on plain text (paper §5)."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from narrows.adapters import SteeringVector
from narrows.metrics.curves import Curve, Floats
from narrows.metrics.losses import kl_of_rows
from narrows.models import ChatModel, FrozenRows

ALL = "all"
"""The name of all texts together, whatever their type."""

RANDOM_DIRECTIONS = 5
"""How many random directions stand beside a trained one (paper §5: at least five)."""


def random_directions(
    like: SteeringVector, count: int = RANDOM_DIRECTIONS, *, covariance: Tensor | None = None, seed: int = 0
) -> list[SteeringVector]:
    """Random vectors at the place and of the norm of another: isotropic, or with a given covariance.

    Args:
        like: gives layer, α, effective norm and device.
        count: how many.
        covariance: (hidden, hidden), of the residual stream; None draws all directions alike. A Gaussian with
            this covariance points where the model's activations vary: the harder control.
        seed: draws them.
    """
    generator = torch.Generator().manual_seed(seed)
    draws = torch.randn(count, len(like.vector), generator=generator, dtype=torch.float64)
    if covariance is not None:
        # z ↦ V √Λ z: rounding may leave eigenvalues of a singular covariance a little below 0.
        values, vectors = torch.linalg.eigh(covariance.to("cpu", torch.float64))
        draws = (draws * values.clamp(min=0).sqrt()) @ vectors.T
    directions = [SteeringVector(draw.float(), like.layer, like.alpha) for draw in draws]
    return [one.scaled_to(like.effective_norm).to(like.vector.device) for one in directions]


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
        The type of text (:data:`ALL` first), then the direction's name, to its curve.

    Raises:
        AdapterError: a direction is zero, or does not fit the texts.
        ConfigError: the texts do not hold the chat model's states.
        DataError: a type has fewer than two texts, or a KL is not finite.
    """
    places: dict[str, Sequence[int]] = {ALL: range(len(texts)), **(groups or {})}
    result: dict[str, dict[str, Curve]] = {group: {} for group in places}
    for name, given in directions.items():
        vectors = [given] if isinstance(given, SteeringVector) else list(given)
        variants = [vector.scaled_to(float(norm)) for vector in vectors for norm in norms]
        losses = kl_of_rows(chat_model, texts, variants)
        for group, chosen in places.items():
            samples = losses.of_rows(chosen).contributions.reshape(len(vectors), len(norms), -1).mean(axis=0)
            result[group][name] = Curve.of(name, norms, samples.T)
    return result
