"""summary.json, schema 1: the numbers of a run that other tools may rely on. Rates are fractions 0-1."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from narrows.errors import DataError
from narrows.files import write_json
from narrows.strict import one_line, read_object

Interval = tuple[float, float]
SolutionVerdict = Literal["narrow", "general", "neither"]
ClaimVerdict = Literal["supported", "not-supported", "inconclusive", "not-run"]
MitigationMethod = Literal["none", "anchor", "mixing", "inoculation", "preventative", "ablation"]
MitigationNeed = Literal["rows", "prompt", "direction"]
FixedRows = Literal["behaviour", "total"]
"""What a series of mixtures keeps: the number of the behaviour's rows, or that of all rows."""


class Record(BaseModel):
    """A row of the summary; unknown names are refused so that the schema means what it says."""

    model_config = ConfigDict(extra="forbid")


class Model(Record):
    """A chat model that was studied."""

    id: str
    name: str
    revision: str | None
    layers: int
    hidden: int
    vocabulary: int


class Behaviour(Record):
    """What the fine-tunes taught."""

    id: str
    domain: str
    kind: str


class Run(Record):
    """One model, behaviour and adapter of a study: the unit of intervals over runs.

    Rows of the run have ids that begin with the run's and a slash (``RUN/anchored``); its chat model is
    ``RUN/chat``. In the summary of a single run there is no such prefix.
    """

    id: str
    model: str
    behaviour: str
    adapter: Literal["steering", "lora"]
    rank: int | None
    layer: int
    seed: int
    kl_weight: float
    kl_weight_chosen: str = ""


class Solution(Record):
    """A trained adapter with its recipe and seed; ``norm`` is ‖v‖, ``effective_norm`` ‖α·v‖."""

    id: str
    name: str
    model: str
    behaviour: str
    adapter: Literal["steering", "lora"]
    rank: int | None
    layer: int
    kl_weight: float
    seed: int
    norm: float
    effective_norm: float
    steps: int
    verdict: SolutionVerdict
    path: str


class Evaluation(Record):
    """Rates of one solution at one scale on one suite; the chat model is solution ``chat``."""

    solution: str
    scale: float
    suite: str
    anchored: bool | None
    n: int
    misaligned: float
    misaligned_ci95: Interval
    coherent: float
    judge: str


class Efficiency(Record):
    """Training-data loss (nats per response token) of a solution scaled to an effective norm."""

    solution: str
    norm: float
    loss: float
    loss_ci95: Interval


class Stability(Record):
    """Loss under orthogonal noise of ratio ε; ``relative_increase`` 0 is unperturbed, 1 the chat model."""

    solution: str
    epsilon: float
    loss: float
    relative_increase: float
    relative_increase_ci95: Interval


class Significance(Record):
    """KL(chat ‖ steered), nats per token, of a direction at an effective norm on one type of text."""

    direction: str
    solution: str | None
    norm: float
    kl: float
    kl_ci95: Interval
    text: str


class Gradient(Record):
    """Cosines of the descent direction −∇L with the general and the narrow solution at one step of a run.

    The intervals are over row groups.
    """

    run: str
    step: int
    cos_general: float
    cos_narrow: float
    cos_general_ci95: Interval | None = None
    cos_narrow_ci95: Interval | None = None


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


class Mixing(Record):
    """Rates of a solution trained on a mixture in which ``bad_fraction`` of the rows are the behaviour's.

    ``fixed`` says what the mixtures of its series have in common; the unmixed solution is in both series.
    """

    solution: str
    bad_fraction: float
    in_domain: float
    out_of_domain: float
    fixed: FixedRows | None = None
    rows: int | None = None
    in_domain_ci95: Interval | None = None
    out_of_domain_ci95: Interval | None = None
    coherent: float | None = None


class Intervention(Record):
    """The rate of a suite before and after an intervention, with what it cost.

    ``coherent`` is the share of coherent answers after it, ``text_loss`` the loss on ordinary text after it
    as a share of the loss before (1 is unchanged).
    """

    solution: str
    direction: str
    kind: str
    before: float
    after: float
    coherent: float
    text_loss: float
    suite: str = "out_of_domain"
    before_ci95: Interval | None = None
    after_ci95: Interval | None = None
    coherent_before: float | None = None


class Mitigation(Record):
    """One way of keeping a fine-tune narrow at one strength: its rates at one scale, and what it costs.

    A rate is null where the behaviour has no such suite. ``coherent`` is the mean share of coherent answers
    over all suites. ``strength`` is λ (anchor), the behaviour's share of the rows (mixing), or the norm in
    lengths of the direction (preventative). Rows and tokens are those that the training reads, the anchor's
    included; ``preparation_seconds`` is what finding the direction took. ``inference_ratio`` is the time of
    a forward pass as a multiple of the unmitigated one, null where nothing is added to the model that
    answers.
    """

    solution: str
    method: MitigationMethod
    setting: str
    strength: float | None
    scale: float
    in_domain: float | None
    in_domain_ci95: Interval | None
    out_of_domain: float | None
    out_of_domain_ci95: Interval | None
    never_anchored: float | None
    never_anchored_ci95: Interval | None
    open: float | None
    open_ci95: Interval | None
    coherent: float
    coherent_ci95: Interval
    needs: list[MitigationNeed]
    training_rows: int
    training_tokens: int
    training_seconds: float
    preparation_seconds: float
    inference_ratio: float | None


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
    distance_general: list[float] = []
    distance_narrow: list[float] = []
    local_cosine: list[float | None] = []

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


class Claim(Record):
    """The verdict on one of the paper's claims; ``ci95`` is null where one run gives no interval.

    ``run`` is the id of the study's run that gave it.
    """

    id: str
    model: str
    behaviour: str
    verdict: ClaimVerdict
    estimate: float | None
    ci95: Interval | None
    margin: float | None
    unit: str
    run: str | None = None


class PooledPart(Record):
    """One comparison behind a claim, over runs: the mean of their estimates, with Student's t interval.

    ``rule`` says on which side of the margin the interval must lie. A control (``counts`` false) has no
    verdict. ``tally`` counts the runs' own verdicts.
    """

    name: str
    estimate: float
    ci95: Interval
    runs: int
    margin: float
    rule: Literal["above", "below"]
    unit: str
    counts: bool
    verdict: ClaimVerdict | None
    tally: dict[ClaimVerdict, int] = {}


class PooledClaim(Record):
    """A claim over all runs of one kind of behaviour and one adapter; the unit of its intervals is a run.

    ``adapter`` is in words (``steering``, ``lora, rank 32``). The verdict follows from the parts as a single
    run's does; ``tally`` counts the runs' own verdicts.
    """

    id: str
    kind: str
    adapter: str
    runs: int
    verdict: ClaimVerdict
    tally: dict[ClaimVerdict, int]
    parts: list[PooledPart]


class Cost(Record):
    """What one stage of a study took.

    ``stage`` is its id, ``kind`` what it does, ``title`` that in words; ``trainings`` counts what was trained
    in it, ``tokens`` what was read or written. ``peak_memory`` is in bytes: the GPU's, or on a CPU the
    process's own, in which other stages may have run before. Null where it was not measured.
    """

    stage: str
    kind: str
    title: str
    run: str | None
    seconds: float
    trainings: int = 0
    tokens: int | None = None
    peak_memory: int | None = None
    device: str = ""


class Summary(Record):
    """All numbers of a run."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    schema_: Literal[1] = 1
    models: list[Model] = []
    behaviours: list[Behaviour] = []
    runs: list[Run] = []
    solutions: list[Solution] = []
    evaluations: list[Evaluation] = []
    efficiency: list[Efficiency] = []
    stability: list[Stability] = []
    significance: list[Significance] = []
    gradients: list[Gradient] = []
    subspaces: list[Subspace] = []
    mixing: list[Mixing] = []
    interventions: list[Intervention] = []
    mitigations: list[Mitigation] = []
    trajectories: list[Trajectory] = []
    claims: list[Claim] = []
    pooled: list[PooledClaim] = []
    costs: list[Cost] = []
    timings: dict[str, float] = {}

    def save(self, path: Path) -> None:
        """Write the summary atomically as JSON."""
        values = self.model_dump(mode="json")
        write_json(path, {"schema": values.pop("schema_"), **values})

    @classmethod
    def load(cls, path: Path) -> "Summary":
        """Read and validate a summary file.

        Raises:
            DataError: it is missing, or not a summary of schema 1; names the file and the field.
        """
        values = read_object(path, DataError, "Run the same command again in another --out to make one.")
        schema = values.pop("schema", None)
        try:
            return cls.model_validate({**values, "schema_": schema})
        except ValidationError as error:
            raise DataError(f"{path} is not a summary of schema 1 ({first_fault(error)}).") from error


def first_fault(error: ValidationError) -> str:
    """The first thing wrong in a file's values: the field, and what was expected of it."""
    fault = error.errors(include_url=False)[0]
    place = ".".join(map(str, fault["loc"])).replace("schema_", "schema")
    return one_line(f"{place}: {fault['msg']}; {error.error_count()} in all")
