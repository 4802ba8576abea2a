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
- ``sweep``: adapters over layers and scales.
- ``ablation``: a fine-tune before and after directions are ablated in it.
- ``convergence``: one fine-tune's direction ablated in another domain's (C10); also how a direction is
  found in a solution's own answers.
- ``mitigations``: what keeps a fine-tune narrow, side by side.

Single files: ``store`` keeps the results of stages, ``tuning`` finds the smallest λ whose solution is narrow,
``microworld`` has the built-in world's recipe and sizes, ``gradients`` follows the loss gradient along a run
(C8),
``subspaces`` trains vectors at right angles to one another, ``watching`` trains under a monitor, and
``judging`` judges a folder of answers as a run.

Shared: ``answering`` draws and keeps answers, ``measures`` takes the three metrics with their controls,
``summarising`` fills ``summary.json``, ``outputs`` names the files of a run, ``clock`` times its stages.
"""

from narrows.study.ablation import AblationConfig, AblationJob, Ablations, ablate_and_measure
from narrows.study.claims import ClaimResult, Part, RateTable
from narrows.study.config import StudyConfig, load_study, preset_names
from narrows.study.convergence import ConvergenceConfig, ConvergenceJob, run_convergence
from narrows.study.execution.local import local_workers
from narrows.study.execution.running import open_study, pending, run_study
from narrows.study.gradients import GradientConfig, GradientJob, run_gradients
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
from narrows.study.tuning import Trial, Tuned, TuningConfig, tune

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
    "LayerTraining",
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
    "TuningConfig",
    "ablate_and_measure",
    "load_study",
    "local_workers",
    "moved",
    "open_study",
    "pending",
    "preset_names",
    "recommend",
    "run_convergence",
    "run_gradients",
    "run_study",
    "run_subspace",
    "run_sweep",
    "still_general",
    "tune",
]
