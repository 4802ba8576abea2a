"""Mitigations side by side: what keeps a fine-tune narrow, at several strengths, and what each costs.

``job`` says what is compared and how strongly, ``arms`` what is trained and attached for each, ``running``
does it, ``cost`` counts what it takes, and ``world`` puts the microworld in place.
"""

from narrows.study.mitigations.arms import Arm
from narrows.study.mitigations.job import MitigationsConfig, MitigationsJob
from narrows.study.mitigations.running import run_mitigations
from narrows.study.mitigations.world import microworld_mitigations, mitigations_config

__all__ = [
    "Arm",
    "MitigationsConfig",
    "MitigationsJob",
    "microworld_mitigations",
    "mitigations_config",
    "run_mitigations",
]
