"""The threshold of a monitor: what benign runs reach, and the score above which a run alarms."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from narrows.errors import ConfigError, DataError
from narrows.geometry.monitoring.band import BY, DEFAULT, Band, By, Look, common_steps, later
from narrows.statistics.detection import conformal_threshold


@dataclass(frozen=True)
class Calibration:
    """What benign runs did, and the threshold that follows.

    A run's score is its largest over all looks after the start, so the false-positive rate is that of a whole
    run, not of a look. It holds for runs like the benign ones: as long, looked at as often, trained with as
    high a rate.

    Attributes:
        false_positives: the stated rate of runs that alarm without reason.
        threshold: a run alarms above it.
        by: what a look is held against: ``run``, what benign runs reach at most; ``step``, what they do at
            the same step.
        scores: of the benign runs, each its largest, in the order of ``runs``.
        runs: the benign runs' names.
        last_step: the shortest of them ended there; later steps are outside what the threshold holds for.
        band: their mean and deviation; None with one direction by run, whose score is its projection.
    """

    false_positives: float
    threshold: float
    by: By
    scores: tuple[float, ...]
    runs: tuple[str, ...]
    last_step: int
    band: Band | None

    @classmethod
    def of(cls, runs: Mapping[str, Sequence[Look]], false_positives: float = 0.05, by: By = DEFAULT) -> Self:
        """Calibrate on benign runs.

        By run with one direction a run's score is its largest projection, and the rate is exact for
        exchangeable runs: at most the stated one, whatever their distribution.

        Otherwise each look is standardised by the benign runs, and the largest of directions and steps
        counts: with several directions by run by their largest projections, by step by their projections at
        the same step (the deviation there is at least a quarter of the largest at any step). A benign run is
        then scored by the mean and deviation of the *other* ones, for by its own it would look too ordinary.
        The rate is approximate; docs/guide/monitoring.md has it in simulation.

        A threshold by run is set by what benign runs drift to by their end, so an early push below it is not
        seen. By step the drift is taken off. But then new runs must have the benign ones' recipe: one that
        only goes faster, as a shorter training does, lies outside the band early on and alarms. And one
        outlier among the benign runs raises the threshold much, for it is held against the others' deviation.
        At a step between those of the band it is interpolated.

        Args:
            runs: their looks, by name. The threshold is never below the score of their starts: runs that
                only move away from a direction must not make an alarm of standing still. By step the band
                has the steps at which all of them were looked at.
            false_positives: α, of a whole run.
            by: what a look is held against.

        Raises:
            ConfigError: there are too few runs for the rate (says the smallest rate that they support), or
                two runs were looked at with different directions, or all agree along one of several, or by
                step there is no step that all have. Or ``by`` is unknown.
            DataError: there is no run, or one was never looked at.
        """
        if by not in BY:
            raise ConfigError(f"by is {by!r}; choose one of {', '.join(BY)}.")
        if not runs:
            raise DataError("a threshold needs benign runs, and none was given.")
        for name, looks in runs.items():
            if not looks:
                raise DataError(f"the benign run {name} has no checkpoint to look at.")
        every = list(runs.values())
        # Also refuses too few runs, before deviations are taken of them.
        peaks = [max(max(look.projections.values()) for look in later(looks)) for looks in every]
        threshold = conformal_threshold(peaks, false_positives)
        band, scores = None, peaks
        if len(_directions(runs)) > 1 or by == "step":
            if len(every) < 3:
                raise ConfigError(
                    f"each look is standardised by the other benign runs, and there are {len(every)} of them "
                    "in all: it needs 3, or one direction and a threshold by run."
                )
            steps = common_steps(runs) if by == "step" else []
            band = Band.of(every, by, steps)
            others = [[*every[:place], *every[place + 1 :]] for place in range(len(every))]
            bands = [Band.of(some, by, steps) for some in others]
            scores = [max(map(one.score, later(looks))) for one, looks in zip(bands, every, strict=True)]
            threshold = conformal_threshold(scores, false_positives)
        last = min(looks[-1].step for looks in every)
        found = cls(false_positives, threshold, by, tuple(scores), tuple(runs), last, band)
        starts = [found.score(looks[0]) for looks in every if len(looks) > 1]
        return replace(found, threshold=max([found.threshold, *starts]))

    def score(self, look: Look) -> float:
        """The projection on the one direction, or the largest standardised one."""
        if self.band is None:
            return float(next(iter(look.projections.values())))
        return self.band.score(look)

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
        by = values["by"]
        if by not in BY:
            raise ValueError(f"by is {by!r}")
        kept = values["band"]
        return cls(
            false_positives=float(values["false_positives"]),
            threshold=float(values["threshold"]),
            by=by,
            scores=tuple(map(float, values["scores"])),
            runs=tuple(map(str, values["runs"])),
            last_step=int(values["last_step"]),
            band=None if kept is None else Band.from_json(kept),
        )


def _directions(runs: Mapping[str, Sequence[Look]]) -> list[str]:
    """The directions' names, the same in every look."""
    looks = [look for some in runs.values() for look in some]
    names = list(looks[0].projections)
    if any(list(look.projections) != names for look in looks):
        raise ConfigError("the benign runs were looked at with different directions: look at them all anew.")
    return names
