"""The main job: general and narrow solutions of one behaviour on one model, measured, with verdicts.

``job`` says what is done and how much, ``tuning`` finds λ, ``solutions`` trains, ``following`` follows the
loss gradient along the unanchored run, and ``running`` puts it all together.
"""

from narrows.study.main_job.job import JobConfig, MainJob, Tuning
from narrows.study.main_job.running import run_main_job
from narrows.study.main_job.tuning import Trial, Tuned, tune

__all__ = ["JobConfig", "MainJob", "Trial", "Tuned", "Tuning", "run_main_job", "tune"]
