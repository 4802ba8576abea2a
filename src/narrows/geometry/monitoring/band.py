"""What benign runs do along directions: by it projections are brought to one scale, over runs or by step."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import numpy as np

from narrows.errors import ConfigError

By = Literal["run", "step"]
"""What a projection is held against: what benign runs reach at most, or what they do at the same step."""

BY: tuple[By, ...] = ("run", "step")

DEFAULT: By = "run"
"""Its rate is exact, and holds for runs that go faster or slower to where the benign ones went."""

FLOOR = 0.25
"""The smallest deviation at a step, as a share of the largest at any: at the start all runs are alike."""


@dataclass(frozen=True)
class Look:
    """One look at a run.

    Attributes:
        step: how many steps are done; 0 is the start.
        projections: by direction, in the units of the residual stream.
    """

    step: int
    projections: Mapping[str, float]


@dataclass(frozen=True)
class Band:
    """The mean and the standard deviation of benign runs along each direction.

    Attributes:
        steps: the steps at which they are known; empty: they are those of the runs' largest projections, and
            hold at every step.
        centres: by direction, a mean for each step, or the one.
        scales: likewise, the standard deviations.
    """

    steps: tuple[int, ...]
    centres: Mapping[str, tuple[float, ...]]
    scales: Mapping[str, tuple[float, ...]]

    @classmethod
    def of(cls, runs: Sequence[Sequence[Look]], by: By, steps: Sequence[int] = ()) -> Self:
        """The band of some runs.

        Args:
            runs: their looks, all along the same directions.
            by: over whole runs, or by step.
            steps: by step: where; each run was looked at there.

        Raises:
            ConfigError: all runs agree along a direction, so that nothing can be brought to its scale.
        """
        centres, scales = {}, {}
        for name in runs[0][0].projections:
            if by == "run":
                rows = np.array([[max(look.projections[name] for look in later(looks))] for looks in runs])
            else:
                at = [{look.step: look.projections[name] for look in looks} for looks in runs]
                rows = np.array([[curve[step] for step in steps] for curve in at])
            spread = rows.std(axis=0, ddof=1)
            if not spread.max() > 0:
                raise ConfigError(
                    f"the benign runs all have the same projection on {name}, so it cannot be brought to one "
                    "scale with others or with other steps: leave it out, or watch it alone and by run."
                )
            centres[name] = tuple(rows.mean(axis=0).tolist())
            scales[name] = tuple(np.maximum(spread, FLOOR * spread.max()).tolist())
        return cls(tuple(steps) if by == "step" else (), centres, scales)

    def score(self, look: Look) -> float:
        """The largest standardised projection: how many deviations above the benign runs' mean.

        Between two steps of the band both numbers are interpolated, and beyond an end they are the end's.
        """
        return max(
            (look.projections[name] - self._at(self.centres[name], look.step))
            / self._at(self.scales[name], look.step)
            for name in self.centres
        )

    def _at(self, values: Sequence[float], step: int) -> float:
        return float(np.interp(step, self.steps, values)) if self.steps else values[0]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """What :meth:`to_json` gave.

        Raises:
            KeyError: a field is missing.
            ValueError: a value is wrong.
        """
        steps = tuple(map(int, values["steps"]))
        centres, scales = (
            {str(key): tuple(map(float, some)) for key, some in dict(values[name]).items()}
            for name in ("centres", "scales")
        )
        lengths = {len(some) for kept in (centres, scales) for some in kept.values()}
        if centres.keys() != scales.keys() or lengths != {len(steps) or 1} or list(steps) != sorted(steps):
            raise ValueError("the scales, the centres and the steps do not fit together")
        if any(not scale > 0 for some in scales.values() for scale in some):
            raise ValueError("a scale is not above 0")
        return cls(steps, centres, scales)


def later(looks: Sequence[Look]) -> Sequence[Look]:
    """The looks after the start, which make a run's score; all of them if there is only one."""
    return looks[1:] or looks


def common_steps(runs: Mapping[str, Sequence[Look]]) -> list[int]:
    """The steps at which all runs were looked at.

    Raises:
        ConfigError: there is none after the start; names the two runs that differ first.
    """
    names = list(runs)
    found = {look.step for look in runs[names[0]]}
    for name in names[1:]:
        found &= {look.step for look in runs[name]}
        if not any(step > 0 for step in found):
            raise ConfigError(
                f"the benign runs up to {name} have no checkpoint at the same step after the start, and a "
                "threshold by step compares runs step by step: train them with the same checkpoint_every, or "
                "calibrate by run."
            )
    return sorted(found)
