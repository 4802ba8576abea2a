"""Studies: models × behaviours × recipes × measurements, and the verdicts on the paper's claims.

``job`` says what is done, ``main_job`` does it; ``answering``, ``solutions``, ``measure`` and ``tuning`` are
its stages. ``claims`` holds the rules and ``verdicts`` how an interval is held against a margin,
``summarising`` fills ``summary.json``, ``demo`` puts the microworld in place. ``sweep`` measures adapters
over layers and scales: ``sweep_job`` is what it works on, ``sweep_cells`` what is measured at each place, and
``sweep_rule`` which place is recommended. ``ablating`` measures a fine-tune before and after an ablation:
``ablation_job`` is what it works on, ``ablation_cells`` what is measured. ``gradients`` follows the loss
gradient along a run, ``subspaces`` trains vectors at right angles to one another; ``claims_geometry`` has the
rules of the claims about directions.
"""

from narrows.study.ablating import Ablations, ablate_and_measure
from narrows.study.ablation_job import AblationConfig, AblationJob
from narrows.study.claims import RateTable
from narrows.study.demo import demo_config, microworld_job, quick_config
from narrows.study.gradients import GradientConfig, GradientJob, run_gradients
from narrows.study.job import JobConfig, MainJob, Tuning
from narrows.study.main_job import run_main_job
from narrows.study.subspaces import SubspaceConfig, SubspaceJob, run_subspace, still_general
from narrows.study.sweep import Sweep, run_sweep
from narrows.study.sweep_cells import Cell
from narrows.study.sweep_job import Direction, LayerTraining, SweepConfig, SweepJob, moved
from narrows.study.sweep_rule import Recommendation, recommend
from narrows.study.tuning import Trial, Tuned, tune
from narrows.study.verdicts import ClaimResult, Part

__all__ = [
    "AblationConfig",
    "AblationJob",
    "Ablations",
    "Cell",
    "ClaimResult",
    "Direction",
    "GradientConfig",
    "GradientJob",
    "JobConfig",
    "LayerTraining",
    "MainJob",
    "Part",
    "RateTable",
    "Recommendation",
    "SubspaceConfig",
    "SubspaceJob",
    "Sweep",
    "SweepConfig",
    "SweepJob",
    "Trial",
    "Tuned",
    "Tuning",
    "ablate_and_measure",
    "demo_config",
    "microworld_job",
    "moved",
    "quick_config",
    "recommend",
    "run_gradients",
    "run_main_job",
    "run_subspace",
    "run_sweep",
    "still_general",
    "tune",
]
