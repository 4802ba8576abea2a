"""Directions compared: with each other, as subspaces, and between models; always beside what chance does.

``chance`` holds what random directions do, ``cosines`` the table of many directions and the means of groups
of them, ``projections`` one solution along another, ``subspaces`` principal angles, ``effects`` the change
that steering makes to a model's predictions, which can be compared where residual streams cannot.
"""

from narrows.geometry.comparison.chance import random_cosine_limit, random_share_limit, random_units
from narrows.geometry.comparison.cosines import CosineTable, GroupCosine, cosine_table, group_cosines
from narrows.geometry.comparison.effects import Effect, EffectTable, effect, effect_table, random_effects
from narrows.geometry.comparison.projections import Projection, projection, share_within
from narrows.geometry.comparison.subspaces import (
    Subspace,
    SubspaceComparison,
    compare_subspaces,
    principal_angles,
    random_angles,
)

__all__ = [
    "CosineTable",
    "Effect",
    "EffectTable",
    "GroupCosine",
    "Projection",
    "Subspace",
    "SubspaceComparison",
    "compare_subspaces",
    "cosine_table",
    "effect",
    "effect_table",
    "group_cosines",
    "principal_angles",
    "projection",
    "random_angles",
    "random_cosine_limit",
    "random_effects",
    "random_share_limit",
    "random_units",
    "share_within",
]
