"""Vectors at right angles to one another, and the paths of runs in a common basis."""

from collections.abc import Sequence

from pydantic import Field, model_validator

from narrows.summary.base import Interval, Record


class Subspace(Record):
    """The ``index``-th vector of a behaviour, trained at a right angle to all before; 0 is the chat model.

    Rates are of the in-domain suite, the mean over the other domains and the open suite; ``coherent`` is the
    share in the suite where it is lowest, ``loss`` that of training rows in nats per response token (interval
    over rows), ``norm`` ‖α·v‖.
    """

    index: int
    solution: str
    in_domain: float
    in_domain_ci95: Interval
    out_of_domain: float
    out_of_domain_ci95: Interval
    open: float
    open_ci95: Interval
    coherent: float
    loss: float
    loss_ci95: Interval
    norm: float


class TrajectoryRun(Record):
    """One run's path by step: cosines and distances to both ends, norm, coordinates in the shared basis.

    ``local_cosine`` is that of the way to a checkpoint and the way from it, null near the ends. The last
    three columns are empty in files from before they were measured.
    """

    name: str
    steps: list[int]
    cos_general: list[float]
    cos_narrow: list[float]
    norm: list[float]
    components: list[list[float]]
    distance_general: list[float] = Field(default_factory=list)
    distance_narrow: list[float] = Field(default_factory=list)
    local_cosine: list[float | None] = Field(default_factory=list)

    @model_validator(mode="after")
    def _one_value_a_step(self) -> "TrajectoryRun":
        columns: list[Sequence[object]] = [self.cos_general, self.cos_narrow, self.norm, self.components]
        later: list[Sequence[object]] = [self.distance_general, self.distance_narrow, self.local_cosine]
        columns += [column for column in later if column]
        if not self.steps or any(len(column) != len(self.steps) for column in columns):
            raise ValueError("every column needs one value for each step, and there must be a step")
        return self


class Trajectory(Record):
    """Several runs in one principal-component basis; ``window`` is the local cosine's, in checkpoints.

    ``of`` says what the components are of: ``αv``, a LoRA's ``sB``, or its ``A and B``.
    """

    explained_variance_ratio: list[float]
    standardised: bool
    runs: list[TrajectoryRun]
    of: str | None = None
    window: int | None = None

    @model_validator(mode="after")
    def _one_value_a_component(self) -> "Trajectory":
        width = len(self.explained_variance_ratio)
        if any(len(point) != width for run in self.runs for point in run.components):
            raise ValueError("every point needs one coordinate for each explained_variance_ratio")
        return self
