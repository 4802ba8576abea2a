"""The whole of ``summary.json``, written and read."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from narrows.errors import DataError
from narrows.files import write_json
from narrows.strict import read_object
from narrows.summary.base import first_fault
from narrows.summary.claims import Claim, PooledClaim
from narrows.summary.costs import Cost
from narrows.summary.directions import Subspace, Trajectory
from narrows.summary.metrics import Efficiency, Gradient, Significance, Stability
from narrows.summary.rates import Evaluation, Intervention, Mitigation, Mixing
from narrows.summary.solutions import Behaviour, Model, Run, Solution


class Summary(BaseModel):
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
