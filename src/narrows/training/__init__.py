"""Training: a recipe, rows and a frozen chat model in; an adapter and its trajectory out.

``recipe`` says how, ``objective`` holds the two loss terms, ``order`` which rows a step reads, ``loop`` runs and
resumes, ``checkpoints`` survive a kill.
"""

from narrows.training.checkpoints import CheckpointFolder
from narrows.training.loop import TrainingRun, train
from narrows.training.objective import anchor_kl, response_nll
from narrows.training.order import RowOrder
from narrows.training.recipe import Anchor, Recipe

__all__ = [
    "Anchor",
    "CheckpointFolder",
    "Recipe",
    "RowOrder",
    "TrainingRun",
    "anchor_kl",
    "response_nll",
    "train",
]
