"""Directions found in what a model does, at every layer at once.

``activations`` reads the residual stream, ``methods`` turns two sets of rows into directions.
"""

from narrows.geometry.extraction.activations import POSITIONS, Positions, row_means
from narrows.geometry.extraction.methods import mean_difference

__all__ = ["POSITIONS", "Positions", "mean_difference", "row_means"]
