"""Training: a recipe, rows and a frozen chat model in; an adapter and its trajectory out.

``recipe`` says how, ``prepare`` checks and renders what goes in, ``order`` says which rows a step reads,
``objective`` holds the two loss terms, ``window`` takes them over a step's rows, ``ready`` is a training
between two steps, ``loop`` runs them, ``bank`` and ``together`` do so for many trainings in shared passes,
``constraints`` bring the adapter back after each, ``observers`` look on, ``resume`` is where a run stands,
and ``checkpoints`` survive a kill. ``presets`` are the paper's recipes, ``published`` its code's defects;
``estimate`` says what a training will cost, ``worth`` whether a bank is faster, ``trackers`` show it to
others. ``trainer`` has the anchor for those who train with Hugging Face's Trainer or TRL.
"""

from narrows.training.checkpoints import CheckpointFolder
from narrows.training.loop import train
from narrows.training.objective import anchor_kl, final_states, response_nll
from narrows.training.observers import Observer
from narrows.training.order import RowOrder
from narrows.training.ready import TrainingRun
from narrows.training.recipe import Anchor, Recipe
from narrows.training.together import Member, bank_key, can_share, train_together
from narrows.training.worth import pays

__all__ = [
    "Anchor",
    "CheckpointFolder",
    "Member",
    "Observer",
    "Recipe",
    "RowOrder",
    "TrainingRun",
    "anchor_kl",
    "bank_key",
    "can_share",
    "final_states",
    "pays",
    "response_nll",
    "train",
    "train_together",
]
