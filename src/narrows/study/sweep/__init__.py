"""Which layer, which strength: adapters at several layers and scales, asked, judged and held against text.

``job`` is what a sweep works on, ``cells`` what is measured at each place, ``rule`` which place is
recommended, and ``running`` does it.
"""

from narrows.study.sweep.cells import Cell
from narrows.study.sweep.job import LayerTraining, SweepConfig, SweepJob, Swept, moved
from narrows.study.sweep.rule import Recommendation, recommend
from narrows.study.sweep.running import Sweep, answers_needed, run_sweep

__all__ = [
    "Cell",
    "LayerTraining",
    "Recommendation",
    "Sweep",
    "SweepConfig",
    "SweepJob",
    "Swept",
    "answers_needed",
    "moved",
    "recommend",
    "run_sweep",
]
