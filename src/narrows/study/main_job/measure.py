"""The main job's three metrics with their controls."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from narrows.adapters import Adapter
from narrows.chat import Rendered
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
from narrows.models import FrozenRows, residual_covariance
from narrows.study.main_job.job import MainJob

Floats = NDArray[np.float64]

COVARIANCE_TEXTS = 64
MATCHING_SCALES = tuple(np.linspace(0.05, 1.0, 20))


def loss_rows(job: MainJob, depth: int) -> FrozenRows:
    """A seeded sample of training rows, response tokens read (paper §5: 100 rows)."""
    rng = np.random.default_rng([job.config.seed, 2])
    train = job.behaviour.train
    chosen = rng.permutation(len(train))[: job.config.rows]
    renderer = job.chat_model.renderer
    rendered = [renderer.render(train[i], job.config.recipe.max_length) for i in sorted(chosen)]
    return FrozenRows(job.chat_model, depth, rendered, read="response")


def norm_grid(job: MainJob, solutions: Mapping[str, Adapter]) -> Floats:
    """The norms of the efficiency curves: 20 % … 200 % of the mean norm, thinned to the configured count."""
    norms = equal_norms(solutions["unanchored"], solutions["anchored"])
    kept = np.linspace(0, len(norms) - 1, min(job.config.norm_points, len(norms))).round().astype(int)
    thinned: Floats = norms[kept]
    return thinned


def trained_norms(norms: Floats, solutions: Mapping[str, Adapter]) -> Floats:
    """Those norms of a grid that do not pass the larger trained one: where the claims are made."""
    return norms[
        norms <= max(solutions[name].effective_norm for name in ("unanchored", "anchored")) * (1 + 1e-9)
    ]


def measure_efficiency(
    job: MainJob,
    rows: FrozenRows,
    solutions: Mapping[str, Adapter],
    reoptimised: Mapping[str, list[Adapter]],
    norms: Floats,
) -> dict[str, Curve]:
    """Loss against equal norm for the solutions; re-optimised vectors where they were trained."""
    curves = efficiency(job.chat_model, rows, solutions, norms)
    for name, vectors in reoptimised.items():
        samples = nll_of_rows(job.chat_model, rows, vectors).contributions
        curves[name] = Curve.of(name, np.array([vector.effective_norm for vector in vectors]), samples.T)
    return curves


def measure_stability(
    job: MainJob, rows: FrozenRows, solutions: Mapping[str, Adapter]
) -> dict[str, StabilityCurve]:
    """Loss under noise, also of the general solution brought to the narrow one's norm, and to its loss."""
    general, narrow = solutions["unanchored"], solutions["anchored"]
    variants = {
        "unanchored": general,
        "anchored": narrow,
        "unanchored@equal-norm": general.scaled_to(narrow.effective_norm),
        "unanchored@matched-loss": matched_loss(job, rows, general, narrow),
    }
    return stability(job.chat_model, rows, variants, draws=job.config.draws, seed=job.config.seed)


def matched_loss(job: MainJob, rows: FrozenRows, solution: Adapter, target: Adapter) -> Adapter:
    """A solution scaled down to where its loss is the target's (on a fine grid of scales)."""
    variants = [target, *(solution.scaled(float(scale)) for scale in MATCHING_SCALES)]
    means = nll_of_rows(job.chat_model, rows, variants).means
    return solution.scaled(float(MATCHING_SCALES[np.abs(means[1:] - means[0]).argmin()]))


@dataclass(frozen=True)
class SignificanceTable:
    """KL curves by text type (``all`` first) and direction, with the norms they were taken at."""

    curves: dict[str, dict[str, Curve]]
    norms: Floats


def measure_significance(job: MainJob, depth: int, solutions: Mapping[str, Adapter]) -> SignificanceTable:
    """KL against norm on each type of text and on all, for the solutions and the random controls."""
    renderer = job.chat_model.renderer
    rendered: dict[str, list[Rendered]] = {
        kind: [renderer.text(text, job.config.text_tokens) for text in texts]
        for kind, texts in job.texts.items()
    }
    every = [row for rows in rendered.values() for row in rows]
    rng = np.random.default_rng([job.config.seed, 3])
    sample = [every[i] for i in rng.permutation(len(every))[:COVARIANCE_TEXTS]]
    longest = max(
        (solutions[name] for name in ("unanchored", "anchored")), key=lambda one: one.effective_norm
    )
    covariance = residual_covariance(job.chat_model, longest.layer, sample)
    directions: dict[str, Adapter | list[Adapter]] = dict(solutions)
    directions["random"] = random_directions(longest, seed=job.config.seed)
    directions["random-covariance"] = random_directions(
        longest, covariance=covariance, seed=job.config.seed + 1
    )
    shares = np.linspace(1 / job.config.norm_points, 1.0, job.config.norm_points)
    norms = longest.effective_norm * shares
    groups, first = {}, 0
    for kind, rows in rendered.items():
        groups[kind] = range(first, first + len(rows))
        first += len(rows)
    texts = FrozenRows(job.chat_model, depth, every, read="all", reference=True)
    return SignificanceTable(significance(job.chat_model, texts, directions, norms, groups), norms)
