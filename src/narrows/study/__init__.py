"""Studies: models × behaviours × recipes × measurements, and the verdicts on the paper's claims.

A study is one YAML file; from Python::

    from narrows.study import load_study, local_workers, open_study, pending, run_study

    config = load_study("study.yaml", ["measure.samples=4"])        # or a preset's name
    plan, store = open_study(config, "runs/mine")                   # its stages; nothing is trained yet
    print(len(pending(plan, store)), "tasks are left")
    plan, outcome = run_study(config, "runs/mine")                  # or with workers of one's own choice

Packages:

- ``config``: the study file, and the runs that its lists expand to; ``presets`` come with the package.
- ``materials``: what its files and worlds hold, and which bytes a model's name stands for.
- ``plan``: stages, addressed by the hash of what determines them, and the tasks that are left.
- ``stages``: what each kind of stage does.
- ``execution``: the order of tasks, and who does them.
- ``results``: from raw results to a study's numbers, without a model.
- ``claims``: the rules of the claims; ``pooling`` takes their means over runs.
- ``main_job``: one behaviour on one model from tuning to verdicts; ``grid`` runs it on many; ``demo`` puts
  the microworld in place.
- ``sweep``: adapters over layers and scales.
- ``ablation``: a fine-tune before and after directions are ablated in it.
- ``convergence``: one fine-tune's direction ablated in another domain's (C10); also how a direction is
  found in a solution's own answers.
- ``mitigations``: what keeps a fine-tune narrow, side by side.

Single files: ``store`` keeps the results of stages, ``gradients`` follows the loss gradient along a run (C8),
``subspaces`` trains vectors at right angles to one another, ``watching`` trains under a monitor, and
``judging`` judges a folder of answers as a run.

Shared: ``answering`` draws and keeps answers, ``measures`` takes the three metrics with their controls,
``summarising`` fills ``summary.json``, ``outputs`` names the files of a run, ``clock`` times its stages.
"""

from narrows.study.ablation import AblationConfig, AblationJob, Ablations, ablate_and_measure
from narrows.study.claims import ClaimResult, Part, RateTable
from narrows.study.config import StudyConfig, load_study, preset_names
from narrows.study.convergence import ConvergenceConfig, ConvergenceJob, run_convergence
from narrows.study.demo import demo_config, microworld_job, quick_config
from narrows.study.execution.local import local_workers
from narrows.study.execution.running import open_study, pending, run_study
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
    "StudyConfig",
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
    "load_study",
    "local_workers",
    "microworld_job",
    "moved",
    "open_study",
    "pending",
    "preset_names",
    "quick_config",
    "recommend",
    "run_convergence",
    "run_gradients",
    "run_main_job",
    "run_study",
    "run_subspace",
    "run_sweep",
    "still_general",
    "tune",
]
