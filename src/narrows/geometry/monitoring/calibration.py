"""The threshold of a monitor: what benign runs reach, and the score above which a run alarms."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np

from narrows.errors import ConfigError, DataError
from narrows.statistics.detection import conformal_threshold


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
class Calibration:
    """What benign runs reached, and the threshold that follows.

    A run's score is its largest over all looks after the start, so the false-positive rate is that of a whole
    run, not of a look. It holds for runs like the benign ones: as long, looked at as often, trained with as
    high a rate.

    Attributes:
        false_positives: the stated rate of runs that alarm without reason; at most that.
        threshold: a run alarms above it.
        scores: of the benign runs, each its largest, in the order of ``runs``.
        runs: the benign runs' names.
        last_step: the shortest of them ended there; later steps are outside what the threshold holds for.
        centres: with several directions, the mean over benign runs of their largest projection on each.
        scales: with several directions, its standard deviation; empty with one direction, whose score is
            its projection.
    """

    false_positives: float
    threshold: float
    scores: tuple[float, ...]
    runs: tuple[str, ...]
    last_step: int
    centres: Mapping[str, float]
    scales: Mapping[str, float]

    @classmethod
    def of(cls, runs: Mapping[str, Sequence[Look]], false_positives: float = 0.05) -> Self:
        """Calibrate on benign runs.

        With one direction a run's score is its largest projection, and the rate is exact for exchangeable
        runs. With several, each is standardised by the benign runs and the largest counts; a benign run is
        then scored by the mean and deviation of the *other* ones, for by its own it would look too ordinary.

        Args:
            runs: their looks, by name. The threshold is never below the score of their starts: runs that
                only move away from a direction must not make an alarm of standing still.
            false_positives: α, of a whole run.

        Raises:
            ConfigError: there are too few runs for the rate (says the smallest rate that they support), or
                two runs were looked at with different directions, or all agree along one of several.
            DataError: there is no run, or one was never looked at.
        """
        if not runs:
            raise DataError("a threshold needs benign runs, and none was given.")
        for name, looks in runs.items():
            if not looks:
                raise DataError(f"the benign run {name} has no checkpoint to look at.")
        names = _directions(runs)
        peaks = np.array(
            [
                [max(look.projections[one] for look in later(looks)) for one in names]
                for looks in runs.values()
            ]
        )
        centres: dict[str, float] = {}
        scales: dict[str, float] = {}
        scores = peaks.max(axis=1)
        if len(names) > 1:
            conformal_threshold(scores, false_positives)  # refuses too few runs before deviations are taken
            scores = np.array([_against(peaks, place, names) for place in range(len(peaks))])
            centres = dict(zip(names, peaks.mean(axis=0).tolist(), strict=True))
            scales = dict(zip(names, peaks.std(axis=0, ddof=1).tolist(), strict=True))
        found = cls(
            false_positives=false_positives,
            threshold=conformal_threshold(scores, false_positives),
            scores=tuple(map(float, scores)),
            runs=tuple(runs),
            last_step=min(looks[-1].step for looks in runs.values()),
            centres=centres,
            scales=scales,
        )
        starts = [found.score(looks[0]) for looks in runs.values() if len(looks) > 1]
        return replace(found, threshold=max([found.threshold, *starts]))

    def score(self, look: Look) -> float:
        """The projection on the one direction, or the largest of several standardised ones."""
        if not self.scales:
            return float(next(iter(look.projections.values())))
        return max(
            (look.projections[name] - self.centres[name]) / scale for name, scale in self.scales.items()
        )

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
        centres, scales = (
            {str(key): float(value) for key, value in dict(values[name]).items()}
            for name in ("centres", "scales")
        )
        if any(not scale > 0 for scale in scales.values()) or centres.keys() != scales.keys():
            raise ValueError("the scales do not fit the centres, or are not above 0")
        return cls(
            false_positives=float(values["false_positives"]),
            threshold=float(values["threshold"]),
            scores=tuple(map(float, values["scores"])),
            runs=tuple(map(str, values["runs"])),
            last_step=int(values["last_step"]),
            centres=centres,
            scales=scales,
        )


def later(looks: Sequence[Look]) -> Sequence[Look]:
    """The looks after the start, which make a run's score; all of them if there is only one."""
    return looks[1:] or looks


def _directions(runs: Mapping[str, Sequence[Look]]) -> list[str]:
    """The directions' names, the same in every look."""
    looks = [look for some in runs.values() for look in some]
    names = list(looks[0].projections)
    if any(list(look.projections) != names for look in looks):
        raise ConfigError("the benign runs were looked at with different directions: look at them all anew.")
    return names


def _against(peaks: np.ndarray[Any, np.dtype[np.float64]], place: int, names: Sequence[str]) -> float:
    """A benign run's largest standardised projection, by the mean and deviation of the others."""
    others = np.delete(peaks, place, axis=0)
    spread = others.std(axis=0, ddof=1)
    if not (spread > 0).all():
        flat = names[int(np.argmin(spread))]
        raise ConfigError(
            f"the benign runs all have the same projection on {flat}, so it cannot be brought to one scale "
            "with the others: leave it out, or watch it alone."
        )
    return float(((peaks[place] - others.mean(axis=0)) / spread).max())
