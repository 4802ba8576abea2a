"""Trajectories: runs' checkpoints in one principal-component basis, and their way to two ends (paper §5)."""

from collections.abc import Mapping

from narrows.adapters import Adapter
from narrows.errors import AdapterError, ConfigError
from narrows.geometry.basis import Basis
from narrows.geometry.points import Checkpoints, Of, distance, local_cosines, points
from narrows.summary import Trajectory, TrajectoryRun


def trajectory(
    runs: Mapping[str, Checkpoints],
    *,
    general: Adapter,
    narrow: Adapter,
    standardise: bool = True,
    basis: Basis | None = None,
    of: Of = "B",
    window: int = 1,
) -> Trajectory:
    """Follow runs by step: cosine and distance to both ends, norm, local cosine, principal components.

    Cosines, distances and norms are those of what acts (α·v, s·B·A); components and local cosines are taken
    of the points (:func:`narrows.geometry.points.points`). An adapter of zeros has cosine 0 with everything.

    Args:
        runs: each run's checkpoints by step, in any order.
        general: the general end.
        narrow: the narrow end.
        standardise: per coordinate, before the PCA.
        basis: project into this basis (standardised, and of what it is) instead of fitting one on ``runs``.
        of: what of a LoRA makes a point: its write vectors, or all of A and B.
        window: of the local cosine, in checkpoints.

    Raises:
        ConfigError: there are not two checkpoints that differ, or the window is below 1.
        AdapterError: a checkpoint is of another kind than the ends, sits at another place or has another
            size.
    """
    if window < 1:
        raise ConfigError(f"the window is {window}; it must be at least 1 checkpoint.")
    _check_kinds(runs, general, narrow)
    basis = basis or Basis.fit(runs, standardise=standardise, of=of)
    followed = []
    for name, run in runs.items():
        steps = sorted(run)
        followed.append(
            TrajectoryRun(
                name=name,
                steps=steps,
                cos_general=[run[step].cosine(general) for step in steps],
                cos_narrow=[run[step].cosine(narrow) for step in steps],
                norm=[run[step].effective_norm for step in steps],
                components=basis.project(run).tolist(),
                distance_general=[distance(run[step], general) for step in steps],
                distance_narrow=[distance(run[step], narrow) for step in steps],
                local_cosine=local_cosines(points(run, basis.of), window),
            )
        )
    return Trajectory(
        explained_variance_ratio=basis.explained_variance_ratio,
        standardised=basis.standardised,
        runs=followed,
        of=_said(runs, basis.of),
        window=window,
    )


def _check_kinds(runs: Mapping[str, Checkpoints], general: Adapter, narrow: Adapter) -> None:
    """Refuse to hold vectors against LoRAs."""
    every = {"the general end": general, "the narrow end": narrow}
    every |= {name: one for name, run in runs.items() for one in list(run.values())[:1]}
    kinds = {name: "vector" if one.kind == "steering" else "LoRA" for name, one in every.items()}
    first = kinds["the general end"]
    if others := [name for name, kind in kinds.items() if kind != first]:
        raise AdapterError(
            f"the general end is a {first} and {others[0]} is a {kinds[others[0]]}: they cannot be compared; "
            "follow vectors and LoRAs apart, each to ends of its own kind."
        )


def _said(runs: Mapping[str, Checkpoints], of: Of) -> str:
    """What the points are, in words."""
    kinds = {one.kind for run in runs.values() for one in run.values()}
    return "αv" if kinds <= {"steering"} else {"B": "sB", "all": "A and B"}[of]
