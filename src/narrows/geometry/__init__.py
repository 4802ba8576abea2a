"""Geometry of solutions: ``trajectory`` follows runs between the general and the narrow end."""

from narrows.geometry.trajectory import Basis, trajectory

__all__ = ["Basis", "trajectory"]
