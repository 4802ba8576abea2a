"""Adapters: the trained parameters, behind one small interface.

``base`` is that interface; ``steering`` and ``lora`` are the two kinds, ``low_rank`` what a LoRA does to a
model, ``bank`` many adapters in one pass, ``noise`` what stability adds; ``files`` and ``loading`` store
them, ``check`` is the self-check that steering does on a model what it should. ``direction`` is a unit vector
at a layer, however it was found.
"""

from narrows.adapters.bank import Bank, bank_of
from narrows.adapters.base import Adapter
from narrows.adapters.check import self_check
from narrows.adapters.direction import Direction
from narrows.adapters.loading import load_adapter
from narrows.adapters.lora import LoRA
from narrows.adapters.noise import square_root
from narrows.adapters.steering import SteeringVector

__all__ = [
    "Adapter",
    "Bank",
    "Direction",
    "LoRA",
    "SteeringVector",
    "bank_of",
    "load_adapter",
    "self_check",
    "square_root",
]
