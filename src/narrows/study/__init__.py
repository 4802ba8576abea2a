"""Studies: models × behaviours × recipes × measurements, and the verdicts on the paper's claims.

``job`` says what is done, ``main_job`` does it; ``answering``, ``solutions``, ``measure`` and ``tuning`` are
its stages. ``claims`` holds the rules and ``verdicts`` how an interval is held against a margin,
``summarising`` fills ``summary.json``, ``demo`` puts the microworld in place.
"""

from narrows.study.claims import RateTable
from narrows.study.demo import demo_config, microworld_job, quick_config
from narrows.study.job import JobConfig, MainJob, Tuning
from narrows.study.main_job import run_main_job
from narrows.study.tuning import Trial, Tuned, tune
from narrows.study.verdicts import ClaimResult, Part

__all__ = [
    "ClaimResult",
    "JobConfig",
    "MainJob",
    "Part",
    "RateTable",
    "Trial",
    "Tuned",
    "Tuning",
    "demo_config",
    "microworld_job",
    "quick_config",
    "run_main_job",
    "tune",
]
