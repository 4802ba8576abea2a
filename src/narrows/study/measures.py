"""The three metrics of one general and one narrow solution, with their controls."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from narrows.adapters import Adapter
from narrows.chat import Conversation, Rendered
from narrows.metrics import (
    Curve,
    StabilityCurve,
    efficiency,
    equal_norms,
    nll_of_rows,
    random_directions,
    significance,
    stability,
)
from narrows.models import ChatModel, FrozenRows, residual_covariance

Floats = NDArray[np.float64]

COVARIANCE_TEXTS = 64
MATCHING_SCALES = tuple(np.linspace(0.05, 1.0, 20))
NORM_SLACK = 1 + 1e-9

REOPTIMISED_SHARES = (0.4, 0.7, 1.0)
"""Norms under which C4's control trains both solutions on, as shares of the larger trained one."""


def loss_rows(
    chat_model: ChatModel,
    train: Sequence[Conversation],
    depth: int,
    *,
    count: int,
    max_length: int | None,
    seed: int,
) -> FrozenRows:
    """A seeded sample of training rows, response tokens read (paper §5: 100 rows).

    Args:
        chat_model: the model.
        train: the training rows.
        depth: of the solutions.
        count: rows of the sample.
        max_length: tokens kept of a row.
        seed: draws it.
    """
    chosen = np.random.default_rng([seed, 2]).permutation(len(train))[:count]
    rendered = [chat_model.renderer.render(train[i], max_length) for i in sorted(chosen)]
    return FrozenRows(chat_model, depth, rendered, read="response")


def norm_grid(general: Adapter, narrow: Adapter, points: int) -> Floats:
    """The norms of the efficiency curves: 20 % … 200 % of the mean norm, thinned to a count."""
    norms = equal_norms(general, narrow)
    kept = np.linspace(0, len(norms) - 1, min(points, len(norms))).round().astype(int)
    thinned: Floats = norms[kept]
    return thinned


def trained_norms(norms: Floats, largest: float) -> Floats:
    """Those norms of a grid that do not pass the larger trained one: where the claims are made."""
    return norms[norms <= largest * NORM_SLACK]


def efficiency_with_controls(
    chat_model: ChatModel,
    rows: FrozenRows,
    solutions: Mapping[str, Adapter],
    reoptimised: Mapping[str, Sequence[Adapter]],
    norms: Floats,
) -> dict[str, Curve]:
    """Loss against equal norm for the solutions; re-optimised vectors at the norms that they have."""
    curves = efficiency(chat_model, rows, solutions, norms)
    for name, vectors in reoptimised.items():
        samples = nll_of_rows(chat_model, rows, vectors).contributions
        curves[name] = Curve.of(name, np.array([vector.effective_norm for vector in vectors]), samples.T)
    return curves


def nearest_in_loss(
    chat_model: ChatModel, rows: FrozenRows, candidates: Sequence[Adapter], target: Adapter
) -> Adapter:
    """The candidate whose loss on the rows comes nearest to the target's."""
    means = nll_of_rows(chat_model, rows, [target, *candidates]).means
    return candidates[int(np.abs(means[1:] - means[0]).argmin())]


def stability_with_controls(
    chat_model: ChatModel, rows: FrozenRows, general: Adapter, narrow: Adapter, *, draws: int, seed: int
) -> dict[str, StabilityCurve]:
    """Loss under noise of both, and of the general one at the norm of the narrow, and at its loss."""
    scaled = [general.scaled(float(scale)) for scale in MATCHING_SCALES]
    variants = {
        "unanchored": general,
        "anchored": narrow,
        "unanchored@equal-norm": general.scaled_to(narrow.effective_norm),
        "unanchored@matched-loss": nearest_in_loss(chat_model, rows, scaled, narrow),
    }
    return stability(chat_model, rows, variants, draws=draws, seed=seed)


@dataclass(frozen=True)
class SignificanceTable:
    """KL curves by text type (``all`` first) and direction, with the norms they were taken at.

    ``tokens`` were read: the texts', for each direction at each norm.
    """

    curves: dict[str, dict[str, Curve]]
    norms: Floats
    tokens: int


def significance_with_controls(
    chat_model: ChatModel,
    texts: Mapping[str, Sequence[str]],
    solutions: Mapping[str, Adapter],
    *,
    text_tokens: int,
    points: int,
    seed: int,
) -> SignificanceTable:
    """KL against norm on each type of text and on all, for the solutions and the random controls.

    Args:
        chat_model: the model.
        texts: by type.
        solutions: ``unanchored`` and ``anchored``, up to whose larger norm it is measured, and others.
        text_tokens: kept of a text.
        points: on the norm axis.
        seed: draws the random directions.
    """
    every: list[Rendered] = []
    groups: dict[str, range] = {}
    for kind, some in texts.items():
        groups[kind] = range(len(every), len(every) + len(some))
        every += [chat_model.renderer.text(text, text_tokens) for text in some]
    sample = np.random.default_rng([seed, 3]).permutation(len(every))[:COVARIANCE_TEXTS]
    longest = max(
        (solutions[name] for name in ("unanchored", "anchored")), key=lambda one: one.effective_norm
    )
    covariance = residual_covariance(chat_model, longest.layer, [every[i] for i in sample])
    directions: dict[str, Adapter | list[Adapter]] = dict(solutions)
    directions["random"] = random_directions(longest, seed=seed)
    directions["random-covariance"] = random_directions(longest, covariance=covariance, seed=seed + 1)
    norms = longest.effective_norm * np.linspace(1 / points, 1.0, points)
    frozen = FrozenRows(chat_model, longest.depth, every, read="all", reference=True)
    curves = significance(chat_model, frozen, directions, norms, groups)
    variants = sum(len(one) if isinstance(one, list) else 1 for one in directions.values())
    return SignificanceTable(curves, norms, sum(map(len, every)) * len(norms) * variants)
