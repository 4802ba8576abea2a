"""Studies: models × behaviours × recipes × measurements, and the verdicts on the paper's claims.

Packages:
    ``main_job``: one behaviour on one model from tuning to verdicts; ``grid`` runs it on many; ``demo`` puts
    the microworld in place.
    ``claims``: the rules of the claims; ``pooling`` takes their means over runs.
    ``sweep``: adapters over layers and scales.
    ``ablation``: a fine-tune before and after directions are ablated in it.
    ``convergence``: one fine-tune's direction ablated in another domain's (C10); also how a direction is
    found in a solution's own answers.
    ``mitigations``: what keeps a fine-tune narrow, side by side.

Single files:
    ``gradients`` follows the loss gradient along a run (C8), ``subspaces`` trains vectors at right angles to
    one another, ``watching`` trains under a monitor, and ``judging`` judges a folder of answers as a run.

Shared: ``answering`` draws and keeps answers, ``summarising`` fills ``summary.json``, ``outputs`` names the
files of a run, ``clock`` times its stages.
"""

from narrows.study.ablation import AblationConfig, AblationJob, Ablations, ablate_and_measure
from narrows.study.claims import ClaimResult, Part, RateTable
from narrows.study.convergence import ConvergenceConfig, ConvergenceJob, run_convergence
from narrows.study.demo import demo_config, microworld_job, quick_config
from narrows.study.gradients import GradientConfig, GradientJob, run_gradients
from narrows.study.main_job import JobConfig, MainJob, Trial, Tuned, Tuning, run_main_job, tune
from narrows.study.subspaces import SubspaceConfig, SubspaceJob, run_subspace, still_general
from narrows.study.sweep import (
    Cell,
    LayerTraining,
    Recommendation,
    Sweep,
    SweepConfig,
    SweepJob,
    Swept,
    moved,
    recommend,
    run_sweep,
)

__all__ = [
    "AblationConfig",
    "AblationJob",
    "Ablations",
    "Cell",
    "ClaimResult",
    "ConvergenceConfig",
    "ConvergenceJob",
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
    "Swept",
    "Trial",
    "Tuned",
    "Tuning",
    "ablate_and_measure",
    "demo_config",
    "microworld_job",
    "moved",
    "quick_config",
    "recommend",
    "run_convergence",
    "run_gradients",
    "run_main_job",
    "run_subspace",
    "run_sweep",
    "still_general",
    "tune",
]
