"""Efficiency: the training-data loss that a solution reaches for its norm (paper §5)."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from narrows.adapters import Adapter
from narrows.metrics import published
from narrows.metrics.curves import Curve, Floats
from narrows.metrics.losses import nll_of_rows
from narrows.models import ChatModel, FrozenRows

SHARES = (0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0)
"""The paper's equal norms, as shares of the mean of the two solutions' norms."""


def equal_norms(*solutions: Adapter) -> Floats:
    """20 % … 200 % of the mean effective norm of the given solutions, (10,)."""
    return np.array(SHARES) * float(np.mean([solution.effective_norm for solution in solutions]))


def efficiency(
    chat_model: ChatModel,
    rows: FrozenRows,
    solutions: Mapping[str, Adapter],
    norms: Floats,
    *,
    as_published: Collection[published.MetricDefect] = (),
) -> dict[str, Curve]:
    """Each solution's loss (nats per response token) when it is scaled to each effective norm.

    L(θ)/‖θ‖² falls with the norm whatever the solution, so solutions are compared at equal norm (paper §5).
    Units of the bands: rows.

    Args:
        chat_model: the model.
        rows: training rows behind the solutions' depth, response tokens read.
        solutions: by name.
        norms: effective norms, (points,).
        as_published: defects of the published metric to reproduce.

    Raises:
        AdapterError: a solution is zero, or does not fit the rows.
        DataError: there are fewer than two rows, or a loss is not finite.
    """
    variants = [
        published.scaled_to(solution, float(norm), as_published)
        for solution in solutions.values()
        for norm in norms
    ]
    losses = nll_of_rows(chat_model, rows, variants)
    if "batch-means" in as_published:
        losses = losses.by_batches(published.BATCH)
    samples = losses.contributions.reshape(len(solutions), len(norms), -1)
    return {name: Curve.of(name, norms, one.T) for name, one in zip(solutions, samples, strict=True)}


def loss_against_scale(
    chat_model: ChatModel, rows: FrozenRows, solution: Adapter, scales: Sequence[float]
) -> Curve:
    """A solution's loss (nats per response token) at multiples of its own norm; 0 is the chat model.

    Units of the band: rows.

    Raises:
        AdapterError: the solution does not fit the rows.
        DataError: there are fewer than two rows, or a loss is not finite.
    """
    variants = [solution.scaled(scale) for scale in scales]
    return Curve.of("loss", np.array(scales), nll_of_rows(chat_model, rows, variants).contributions.T)
