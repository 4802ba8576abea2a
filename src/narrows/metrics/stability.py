"""Stability: how fast the loss rises when a solution is turned by orthogonal noise (paper §5)."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from narrows.adapters import Adapter
from narrows.errors import DataError
from narrows.metrics import published
from narrows.metrics.curves import Curve
from narrows.metrics.losses import nll_of_rows
from narrows.models import ChatModel, FrozenRows

EPSILONS = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""The paper's noise ratios."""

DRAWS = 10
"""The paper's noises for each ratio."""


@dataclass(frozen=True)
class StabilityCurve:
    """A solution's loss under noise; the units of all bands are noise draws.

    Attributes:
        unperturbed: its own loss L(x), nats per response token.
        chat: the chat model's loss L_chat.
        loss: L(x') against ε.
        relative: (L(x') − L(x)) / (L_chat − L(x)) against ε: 0 is unperturbed, 1 as bad as the chat model. It
            means this only where :attr:`gain` is above 0.
        absolute: L(x') − L(x) against ε.
    """

    unperturbed: float
    chat: float
    loss: Curve
    relative: Curve
    absolute: Curve

    @property
    def gain(self) -> float:
        """L_chat − L(x): what the solution has to lose, nats per response token."""
        return self.chat - self.unperturbed


def stability(
    chat_model: ChatModel,
    rows: FrozenRows,
    solutions: Mapping[str, Adapter],
    *,
    epsilons: Sequence[float] = EPSILONS,
    draws: int = DRAWS,
    seed: int = 0,
    as_published: Collection[published.MetricDefect] = (),
) -> dict[str, StabilityCurve]:
    """Loss of √(1−ε²)·x + ε·y for each solution x, with ``draws`` orthogonal noises y of x's norm.

    The same draws are used for every ε and every solution (each made orthogonal to it), so differences are
    paired.

    Args:
        chat_model: the model.
        rows: training rows behind the solutions' depth, response tokens read.
        solutions: by name.
        epsilons: noise ratios, 0 to 1.
        draws: noises for each ε, at least two.
        seed: draws the noises.
        as_published: defects of the published metric to reproduce.

    Raises:
        ConfigError: an ε is outside 0 to 1.
        AdapterError: a solution does not fit the rows.
        DataError: a solution has exactly the chat model's loss, so that its rise is relative to nothing; or a
            loss is not finite.
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
        found = nll_of_rows(chat_model, rows, variants)
        if "batch-means" in as_published:
            found = found.by_batches(published.BATCH)
        chat, own, *perturbed = found.means
        if chat == own:
            raise DataError(
                f"the solution {name!r} has the chat model's loss, {own:g}: there is nothing that noise "
                "could undo. Is it a vector of zeros?"
            )
        losses = np.reshape(perturbed, (draws, len(epsilons)))
        result[name] = StabilityCurve(
            unperturbed=float(own),
            chat=float(chat),
            loss=Curve.of(name, grid, losses),
            relative=Curve.of(name, grid, (losses - own) / (chat - own)),
            absolute=Curve.of(name, grid, losses - own),
        )
    return result
