"""summary.json, schema 1: the numbers of a run that other tools may rely on. Rates are fractions 0-1.

One module a concept: ``solutions`` (what was studied), ``rates``, ``metrics``, ``directions``, ``claims`` and
``costs`` hold the rows, ``summary`` the whole file.
"""

from narrows.summary.base import Interval, Record, first_fault
from narrows.summary.claims import Claim, ClaimVerdict, PooledClaim, PooledPart
from narrows.summary.costs import Cost
from narrows.summary.directions import Subspace, Trajectory, TrajectoryRun
from narrows.summary.metrics import Efficiency, Gradient, Significance, Stability
from narrows.summary.rates import (
    Evaluation,
    FixedRows,
    Intervention,
    Mitigation,
    MitigationMethod,
    MitigationNeed,
    Mixing,
)
from narrows.summary.solutions import Behaviour, Model, Run, Solution, SolutionVerdict
from narrows.summary.summary import Summary

__all__ = [
    "Behaviour",
    "Claim",
    "ClaimVerdict",
    "Cost",
    "Efficiency",
    "Evaluation",
    "FixedRows",
    "Gradient",
    "Interval",
    "Intervention",
    "Mitigation",
    "MitigationMethod",
    "MitigationNeed",
    "Mixing",
    "Model",
    "PooledClaim",
    "PooledPart",
    "Record",
    "Run",
    "Significance",
    "Solution",
    "SolutionVerdict",
    "Stability",
    "Subspace",
    "Summary",
    "Trajectory",
    "TrajectoryRun",
    "first_fault",
]
