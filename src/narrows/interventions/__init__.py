"""Interventions: what is done to a running model's residual stream along directions.

``base`` is the interface, ``sites`` says where the stream is written and read, ``ablation``, ``addition`` and
``clamp`` are the interventions, ``weights`` ablates in the weights for good. They are context managers that
compose (the one entered later acts on what the one before left) and always detach; adapters act first.
"""

from narrows.interventions.ablation import Ablation
from narrows.interventions.base import Intervention, attached

__all__ = ["Ablation", "Intervention", "attached"]
