"""Interventions: what is done to a running model's residual stream along directions.

``base`` is the interface, ``sites`` says where the stream is changed and ``places`` finds where a model
writes and reads it, ``ablation``, ``addition`` and ``clamp`` are the interventions, ``weights`` ablates in
the weights for good. They are context managers that compose (the one entered later acts on what the one
before left) and always detach; adapters act first.
"""

from narrows.interventions.ablation import Ablation, span
from narrows.interventions.addition import Addition
from narrows.interventions.base import Intervention, attached
from narrows.interventions.clamp import Clamp
from narrows.interventions.sites import SITES, Site
from narrows.interventions.weights import orthogonalise, save_checkpoint

__all__ = [
    "SITES",
    "Ablation",
    "Addition",
    "Clamp",
    "Intervention",
    "Site",
    "attached",
    "orthogonalise",
    "save_checkpoint",
    "span",
]
