"""Stability: how fast the loss rises when a solution is turned by orthogonal noise (paper §5)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from narrows.adapters import SteeringVector
from narrows.metrics.curves import Curve, Floats
from narrows.metrics.losses import nll_of_rows
from narrows.models import ChatModel, FrozenRows

EPSILONS = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
DRAWS = 10


@dataclass(frozen=True)
class StabilityCurve:
    """A solution's loss under noise.

    Attributes:
        unperturbed: its own loss, nats per response token.
        chat: the chat model's loss.
        loss: L(x') against ε; units are noise draws.
        relative: (L(x') − L(x)) / (L_chat − L(x)) against ε: 0 unperturbed, 1 as bad as the chat model.
        absolute: L(x') − L(x) against ε.
    """

    unperturbed: float
    chat: float
    loss: Curve
    relative: Curve
    absolute: Curve


def stability(
    chat_model: ChatModel,
    rows: FrozenRows,
    solutions: Mapping[str, SteeringVector],
    *,
    epsilons: Sequence[float] = EPSILONS,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, StabilityCurve]:
    """Loss of √(1−ε²)·x + ε·y for each solution x, with ``draws`` orthogonal noises y of x's norm.

    The same draws are used for every ε and every solution, so differences are paired.

    Args:
        chat_model: the model.
        rows: training rows behind the solutions' depth, response tokens read.
        solutions: by name.
        epsilons: noise ratios, 0 to 1.
        draws: noises for each ε.
        seed: draws the noises.
    """
    grid = np.array(epsilons)
    result = {}
    for name, solution in solutions.items():
        variants = [solution.scaled(0.0), solution]
        for draw in range(draws):
            for epsilon in epsilons:
                # A generator for each draw: the noise of one draw points the same way at every ε.
                generator = torch.Generator().manual_seed(seed * 1_000_003 + draw)
                variants.append(solution.perturbed(epsilon, generator))
        means = nll_of_rows(chat_model, rows, variants).means
        chat, own = float(means[0]), float(means[1])
        losses = means[2:].reshape(draws, len(epsilons))
        result[name] = StabilityCurve(
            unperturbed=own,
            chat=chat,
            loss=Curve.of(name, grid, losses),
            relative=Curve.of(name, grid, _relative(losses, own, chat)),
            absolute=Curve.of(name, grid, losses - own),
        )
    return result


def _relative(losses: Floats, own: float, chat: float) -> Floats:
    return (losses - own) / (chat - own)
