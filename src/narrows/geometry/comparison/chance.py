"""What chance does: the cosines of random directions, exactly, and with the residual stream's covariance."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import betaincinv
from torch import Tensor

from narrows.adapters import square_root
from narrows.errors import ConfigError

Floats = NDArray[np.float64]

LEVEL = 0.95
DRAWS = 2000
"""Random directions drawn where there is no formula: the 95 % limit then moves by some 2 % of itself."""


def random_cosine_limit(hidden: int, level: float = LEVEL) -> float:
    """The |cosine| that a random direction has with any given one no more often than 1 − ``level``.

    Exact for directions drawn alike on the sphere: cos² has the distribution Beta(1/2, (d − 1)/2). At 95 %
    about 1.96/√d: .17 at a width of 128, .027 at 5,120.

    Args:
        hidden: d, the width of the residual stream.
        level: share of the random directions that stay below it.

    Raises:
        ConfigError: the width is below 2, or the level outside 0 to 1.
    """
    return random_share_limit(hidden, 1, level)


def random_share_limit(hidden: int, dimensions: int, level: float = LEVEL) -> float:
    """The share of its norm that a random direction has inside a given subspace, at most, with ``level``.

    Exact: the square of the share has the distribution Beta(k/2, (d − k)/2).

    Args:
        hidden: d, the width of the residual stream.
        dimensions: k, of the subspace.
        level: share of the random directions that stay below it.

    Raises:
        ConfigError: there are not 1 to d − 1 dimensions, or the level is outside 0 to 1.
    """
    if not 1 <= dimensions < hidden or not 0 < level < 1:
        raise ConfigError(
            f"{dimensions} dimensions of {hidden} at a level of {level}: give 1 to {hidden - 1} dimensions "
            "and a level between 0 and 1."
        )
    return float(np.sqrt(betaincinv(dimensions / 2, (hidden - dimensions) / 2, level)))


def random_units(hidden: int, count: int, *, covariance: Tensor | None = None, seed: int = 0) -> Floats:
    """Random directions, (count, hidden), each of length 1, fp64.

    Args:
        hidden: the width of the residual stream.
        count: how many.
        covariance: (hidden, hidden), of the residual stream. A Gaussian with it points where the model's
            activations vary, so two of them agree more than chance in ``hidden`` dimensions would have it:
            the harder control.
        seed: draws them.

    Raises:
        ConfigError: the covariance has another width.
    """
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(count, hidden, generator=generator, dtype=torch.float64)
    if covariance is not None:
        if covariance.shape != (hidden, hidden):
            raise ConfigError(
                f"a covariance of shape {tuple(covariance.shape)} is not that of a stream of width {hidden}: "
                "it was measured on another model."
            )
        drawn = drawn @ square_root(covariance).T
    return np.asarray((drawn / drawn.norm(dim=1, keepdim=True)).numpy())
