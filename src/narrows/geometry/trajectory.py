"""Trajectories: runs' checkpoints in one principal-component basis, and their way to two ends (paper §5)."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from narrows.adapters import Adapter
from narrows.errors import ConfigError
from narrows.summary import Trajectory, TrajectoryRun

Floats = NDArray[np.float64]
Checkpoints = Mapping[int, Adapter]

COMPONENTS = 3


@dataclass(frozen=True)
class Basis:
    """A principal-component basis fitted on stacked checkpoints, with the scaler that goes with it.

    Attributes:
        standardised: whether each coordinate was first brought to variance 1, not only to mean 0; the two
            give different numbers, so it is always said.
        explained_variance_ratio: share of the variance of each component.
    """

    standardised: bool
    explained_variance_ratio: list[float]
    _scaler: StandardScaler
    _pca: PCA

    @classmethod
    def fit(cls, runs: Mapping[str, Checkpoints], *, standardise: bool = True) -> "Basis":
        """Fit on all checkpoints of all runs, in fp64.

        Raises:
            ConfigError: there are not two checkpoints that differ.
        """
        stacked = np.concatenate([_matrix(run) for run in runs.values()]) if runs else np.empty((0, 1))
        if len(stacked) < 2 or (stacked == stacked[0]).all():
            raise ConfigError(
                f"a basis needs two checkpoints that differ; there are {len(stacked)} checkpoints in "
                f"{len(runs)} runs. Keep more of them (checkpoint_every)."
            )
        scaler = StandardScaler(with_std=standardise).fit(stacked)
        pca = PCA(min(COMPONENTS, *stacked.shape), svd_solver="full").fit(scaler.transform(stacked))
        return cls(standardise, [float(x) for x in pca.explained_variance_ratio_], scaler, pca)

    def project(self, run: Checkpoints) -> Floats:
        """The coordinates of a run's checkpoints in the order of their steps, (checkpoints, components)."""
        coordinates: Floats = self._pca.transform(self._scaler.transform(_matrix(run)))
        return coordinates


def trajectory(
    runs: Mapping[str, Checkpoints],
    *,
    general: Adapter,
    narrow: Adapter,
    standardise: bool = True,
    basis: Basis | None = None,
) -> Trajectory:
    """Follow runs: cosines to the general and the narrow end, effective norm, principal components, by step.

    Args:
        runs: each run's checkpoints by step, in any order; an adapter of zeros has cosine 0.
        general: the general end.
        narrow: the narrow end.
        standardise: per coordinate, before the PCA.
        basis: project into this basis (standardised or not as it is) instead of fitting one on ``runs``.

    Raises:
        ConfigError: there are not two checkpoints that differ.
        AdapterError: a checkpoint sits at another layer than the ends, or has another width.
    """
    basis = basis or Basis.fit(runs, standardise=standardise)
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
            )
        )
    return Trajectory(
        explained_variance_ratio=basis.explained_variance_ratio,
        standardised=basis.standardised,
        runs=followed,
    )


def _matrix(run: Checkpoints) -> Floats:
    """A run's checkpoints as points, in the order of their steps, (checkpoints, coordinates), fp64."""
    return np.stack([run[step].coordinates().numpy() for step in sorted(run)])
