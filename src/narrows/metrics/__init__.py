"""The three metrics that may explain which solution fine-tuning prefers: efficiency, stability, significance.

``losses`` runs many variants over the same rows at once, ``curves`` puts simultaneous bands around what they
give, and ``efficiency``, ``stability`` and ``significance`` hold one metric each; ``published`` has the
defects of the published ones. ``text_cost`` is significance with the loss beside it, by scale; ``text_loss``
the loss with interventions attached too. ``gradients`` follows the loss gradient along a training.
"""

from narrows.metrics.curves import Curve
from narrows.metrics.efficiency import efficiency, equal_norms, loss_against_scale
from narrows.metrics.gradients import GradientCosines, GradientSample, gradient_cosines
from narrows.metrics.losses import RowLosses, kl_and_nll_of_rows, kl_of_rows, nll_of_rows
from narrows.metrics.significance import random_directions, significance
from narrows.metrics.stability import StabilityCurve, stability
from narrows.metrics.text_cost import TextCost, text_cost
from narrows.metrics.text_loss import TextChange, text_change, text_loss

__all__ = [
    "Curve",
    "GradientCosines",
    "GradientSample",
    "RowLosses",
    "StabilityCurve",
    "TextChange",
    "TextCost",
    "efficiency",
    "equal_norms",
    "gradient_cosines",
    "kl_and_nll_of_rows",
    "kl_of_rows",
    "loss_against_scale",
    "nll_of_rows",
    "random_directions",
    "significance",
    "stability",
    "text_change",
    "text_cost",
    "text_loss",
]
