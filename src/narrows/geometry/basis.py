"""The principal-component basis in which runs are followed, with the scaler that goes with it (paper §5)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from narrows.errors import AdapterError, ConfigError
from narrows.geometry.points import Checkpoints, Floats, Of, points

if TYPE_CHECKING:
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

COMPONENTS = 3


@dataclass(frozen=True)
class Basis:
    """A principal-component basis fitted on stacked checkpoints, with the scaler that goes with it.

    Attributes:
        standardised: whether each coordinate was first brought to variance 1, not only to mean 0; the two
            give different numbers, so it is always said.
        explained_variance_ratio: share of the variance of each component.
        of: what of a LoRA makes a point (:func:`narrows.geometry.points.points`).
        kinds: of the adapters it was fitted on.
    """

    standardised: bool
    explained_variance_ratio: list[float]
    of: Of
    kinds: frozenset[str]
    _scaler: "StandardScaler"
    _pca: "PCA"

    @classmethod
    def fit(cls, runs: Mapping[str, Checkpoints], *, standardise: bool = True, of: Of = "B") -> "Basis":
        """Fit on all checkpoints of all runs, in fp64.

        Args:
            runs: each run's checkpoints by step.
            standardise: per coordinate, before the PCA.
            of: what of a LoRA makes a point.

        Raises:
            ConfigError: there are not two checkpoints that differ.
            AdapterError: the checkpoints have different sizes.
        """
        every = [run[step] for run in runs.values() for step in sorted(run)]
        stacked = points(dict(enumerate(every)), of)
        if len(stacked) < 2 or (stacked == stacked[0]).all():
            raise ConfigError(
                f"a basis needs two checkpoints that differ; there are {len(stacked)} checkpoints in "
                f"{len(runs)} runs. Keep more of them (checkpoint_every)."
            )
        from sklearn.decomposition import PCA
        from sklearn.preprocessing import StandardScaler

        scaler = StandardScaler(with_std=standardise).fit(stacked)
        pca = PCA(min(COMPONENTS, *stacked.shape), svd_solver="full").fit(scaler.transform(stacked))
        shares = [float(share) for share in pca.explained_variance_ratio_]
        return cls(standardise, shares, of, frozenset(one.kind for one in every), scaler, pca)

    def project(self, run: Checkpoints) -> Floats:
        """The coordinates of a run's checkpoints in the order of their steps, (checkpoints, components).

        Raises:
            AdapterError: the checkpoints are not of the kind or the size that the basis was fitted on.
        """
        if strangers := {one.kind for one in run.values()} - self.kinds:
            raise AdapterError(
                f"checkpoints of kind {min(strangers)} have no place in a basis of kind "
                f"{' and '.join(sorted(self.kinds))}: take a basis from runs of their own kind."
            )
        path = points(run, self.of)
        if path.shape[1] != self._scaler.n_features_in_:
            raise AdapterError(
                f"checkpoints of {path.shape[1]} coordinates have no place in a basis of "
                f"{self._scaler.n_features_in_}: they belong to different models, ranks or modules."
            )
        coordinates: Floats = np.asarray(self._pca.transform(self._scaler.transform(path)))
        return coordinates
