"""Ours beside what a careful user would write: the same work, turn by turn in one process.

``cases`` says on which models and rows, ``cost_model`` what each needs in FLOPs and so how far ahead one can
be, ``measuring`` times and weighs both sides; ``steering``, ``lora``, ``metrics`` hold a workload each, ours
and the baseline one below the other, ``others`` those that are whole commands or have a script of their own;
``table`` writes what came out. ``python -m benchmarks.speed`` runs them, ``python -m
benchmarks.speed.growth`` follows how cost grows.
"""

import sys
from pathlib import Path

# The scripts beside this package import each other.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
