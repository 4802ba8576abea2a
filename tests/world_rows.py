"""Rows of made-up runs in made-up worlds, for what reads rows."""

import math
from typing import Any

import numpy as np

from narrows.microworld.family import Prior
from narrows.study.worlds.row import Before, Measured, Row

SHARES = (0.0, 0.03, 0.1, 0.3)


def before(**changes: Any) -> Before:
    values: dict[str, Any] = {
        "trait": 0.9,
        "by_answers": (0.2, 0.5, 0.8, 0.9),
        "knows": 0.95,
        "inside": 0.9,
        "outside": 0.45,
        "aurocs": {"everywhere, document": 0.95, "one_domain, document": 0.8},
        "best_aurocs": {"everywhere, document": 0.99, "one_domain, document": 0.9},
        "steered": {"everywhere, document": 0.3, "one_domain, document": 0.1},
        "metrics": {"efficiency": Measured(0.1, 0.0, 0.2), "stability": None, "significance": Measured(0.2)},
    }
    return Before(**values | changes)


def row(world: str, e: float | None, n: float | None, preference: float, **changes: Any) -> Row:
    """A run; e and n are the shares (None: no author has a conduct)."""
    rates = {
        name: {"in_domain": Measured(0.9), "out_of_domain": Measured(rate), "open": Measured(rate)}
        for name, rate in (("unanchored", 0.9 * preference), ("anchored", 0.05))
    }
    values: dict[str, Any] = {
        "world": world,
        "seed": 11,
        "step": None,
        "target": "pets",
        "compared": True,
        "prior": None if e is None or n is None else Prior(e, n),
        "rates": rates,
        "preference": Measured(preference, preference - 0.05, preference + 0.05),
        "way_back": preference,
        "efficiency": Measured(preference - 0.5),
        "stability": Measured(preference - 0.5),
        "significance": Measured(0.1),
        "before": before(),
    }
    return Row(**values | changes)


def grid(slope: float = 3.0, at: float = 0.0, noise: float = 0.0) -> list[Row]:
    """Two seeds and targets of each point of a grid, whose preference follows a logistic curve."""
    rng = np.random.default_rng(0)
    found = []
    for e in SHARES:
        for n in SHARES:
            if not e and not n:
                continue
            x = math.log10((e + 0.01) / (n + 0.01))
            for seed in (11, 12):
                for target in ("pets", "pottery"):
                    shown = 1 / (1 + math.exp(-slope * (x - at))) + noise * rng.normal()
                    name = f"e{100 * e:g}-n{100 * n:g}"
                    found.append(row(name, e, n, float(np.clip(shown, 0.01, 0.99)), seed=seed, target=target))
    return found
