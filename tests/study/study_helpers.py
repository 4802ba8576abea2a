"""What the tests of the claims share: rates and curves made by hand, of a world in which all claims hold."""

from collections.abc import Mapping

import numpy as np
import torch

from narrows.adapters import SteeringVector
from narrows.evaluation import Question, Suite, SuiteRates
from narrows.metrics import Curve, StabilityCurve
from narrows.statistics import Counts
from narrows.study.claims import RateTable
from narrows.study.claims.verdicts import ClaimResult

CLUSTERS, TRIALS = 40, 16
ANCHORED = {"in_domain": None, "garden": True, "law": True, "sport": False, "travel": False, "open": None}
SUITES = [Suite(name, (Question("q", "why ?", name, "q"),), seen) for name, seen in ANCHORED.items()]
DOMAINS = ("garden", "law", "sport", "travel")
Key = tuple[str, float]


def suite_rates(
    key: Key, suite: str, rate: float, *, clusters: int = CLUSTERS, coherent: float = 1.0
) -> SuiteRates:
    """A suite in whose every cluster the share ``rate`` of the answers shows the behaviour."""
    names = [f"topic-{place}" for place in range(clusters)]
    trials = np.full(clusters, float(TRIALS))
    shown, coherence = (Counts.of(share * trials, trials, names) for share in (rate, coherent))
    return SuiteRates("tiny", *key, suite, clusters * TRIALS, shown, coherence, shown)


def everywhere(outside: float, in_domain: float) -> dict[str, float]:
    """A rate on every suite outside the domain, and one in it."""
    return {"in_domain": in_domain, "open": outside} | dict.fromkeys(DOMAINS, outside)


HOLDS: dict[Key, dict[str, float]] = {
    ("chat", 1.0): everywhere(0.0, 0.0),
    ("unanchored", 1.0): everywhere(0.4, 0.8),
    ("anchored", 1.0): everywhere(0.0, 0.6),
    ("anchored", 1.5): everywhere(0.0, 0.8),
    ("lifted", 1.0): everywhere(0.3, 0.8),
    ("continued-anchored", 1.0): everywhere(0.0, 0.6),
}
"""Rates by solution and scale in a world where C1, C2 and C7 hold."""


def table(
    changes: Mapping[Key, Mapping[str, float]] | None = None,
    *,
    without: tuple[Key, ...] = (),
    coherent: float = 1.0,
) -> RateTable:
    """The rates of :data:`HOLDS` with some of them changed."""
    rates = {key: value | dict((changes or {}).get(key, {})) for key, value in HOLDS.items()}
    measured = {
        key: [suite_rates(key, suite, rate, coherent=coherent) for suite, rate in by_suite.items()]
        for key, by_suite in rates.items()
        if key not in without
    }
    return RateTable(measured, SUITES)


GRID = np.array([1.0, 2.0, 3.0, 4.0])


def curve(name: str, mean: float | np.ndarray, *, spread: float = 0.01, seed: int = 0) -> Curve:
    """A curve at four points, over twenty units that differ by ``spread``."""
    noise = np.random.default_rng([seed, *name.encode()]).normal(size=(20, len(GRID)))
    return Curve.of(name, GRID, mean + spread * (noise - noise.mean(axis=0)))


def stability_curve(
    name: str, rise: float | np.ndarray, *, chat: float = 3.0, own: float = 2.0
) -> StabilityCurve:
    """A solution whose loss rises by the share ``rise`` of its way to the chat model's."""
    relative = curve(name, rise)
    return StabilityCurve(
        unperturbed=own,
        chat=chat,
        loss=Curve.of(name, GRID, own + relative.samples * (chat - own)),
        relative=relative,
        absolute=Curve.of(name, GRID, relative.samples * (chat - own)),
    )


def at(place: int, value: float, otherwise: float) -> np.ndarray:
    """``otherwise`` at all points but one."""
    found = np.full(len(GRID), otherwise)
    found[place] = value
    return found


def vector(*values: float) -> SteeringVector:
    """A short vector."""
    return SteeringVector(torch.tensor(values), 2, 4.0)


def verdicts(result: ClaimResult) -> dict[str, str]:
    """The verdict of each deciding part, by name."""
    return {part.name: part.verdict for part in result.deciding}
