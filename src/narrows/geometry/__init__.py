"""Directions found, compared and watched, and the paths of training.

``extraction`` finds directions, ``comparison`` compares them and the subspaces they span, ``monitoring``
watches them while anyone fine-tunes or generates. ``reading`` reads runs, ``trajectory`` follows them between
the two solutions, as ``points`` in a ``basis``.
"""

from narrows.geometry.basis import Basis
from narrows.geometry.extraction import Contrast, extract_directions, mean_difference, row_means
from narrows.geometry.reading import read_trajectory
from narrows.geometry.trajectory import trajectory

__all__ = [
    "Basis",
    "Contrast",
    "extract_directions",
    "mean_difference",
    "read_trajectory",
    "row_means",
    "trajectory",
]
