"""Directions found in what a model does, at every layer at once.

``activations`` reads the residual stream, ``methods`` turns two sets of rows into directions, ``contrast``
says where the two sets come from (``bins`` of judged answers, files of ``prompts``), ``personas`` makes them
by system turns, ``selection`` chooses layer and tokens by held-out separation, and ``singular`` takes
directions out of a LoRA.
"""

from narrows.geometry.extraction.activations import POSITIONS, Positions, row_means, row_means_at
from narrows.geometry.extraction.contrast import Contrast
from narrows.geometry.extraction.methods import (
    METHODS,
    Method,
    mean_difference,
    pca_of_pairs,
    random_directions,
)
from narrows.geometry.extraction.personas import Persona, ask_personas, persona_contrast
from narrows.geometry.extraction.selection import Extraction, Separation, extract_directions
from narrows.geometry.extraction.singular import SingularDirection, singular_directions

__all__ = [
    "METHODS",
    "POSITIONS",
    "Contrast",
    "Extraction",
    "Method",
    "Persona",
    "Positions",
    "Separation",
    "SingularDirection",
    "ask_personas",
    "extract_directions",
    "mean_difference",
    "pca_of_pairs",
    "persona_contrast",
    "random_directions",
    "row_means",
    "row_means_at",
    "singular_directions",
]
