"""Geometry of solutions: ``reading`` reads runs, ``trajectory`` follows them between the two solutions."""

from narrows.geometry.reading import read_trajectory
from narrows.geometry.trajectory import Basis, trajectory

__all__ = ["Basis", "read_trajectory", "trajectory"]
