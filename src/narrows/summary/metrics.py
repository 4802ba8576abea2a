"""The inductive-bias metrics: efficiency, stability, significance, and the loss gradient."""

from narrows.summary.base import Interval, Record


class Efficiency(Record):
    """Training-data loss (nats per response token) of a solution scaled to an effective norm."""

    solution: str
    norm: float
    loss: float
    loss_ci95: Interval


class Stability(Record):
    """Loss under orthogonal noise of ratio ε; ``relative_increase`` 0 is unperturbed, 1 the chat model."""

    solution: str
    epsilon: float
    loss: float
    relative_increase: float
    relative_increase_ci95: Interval


class Significance(Record):
    """KL(chat ‖ steered), nats per token, of a direction at an effective norm on one type of text."""

    direction: str
    solution: str | None
    norm: float
    kl: float
    kl_ci95: Interval
    text: str


class Gradient(Record):
    """Cosines of the descent direction −∇L with the general and the narrow solution at one step of a run.

    The intervals are over row groups.
    """

    run: str
    step: int
    cos_general: float
    cos_narrow: float
    cos_general_ci95: Interval | None = None
    cos_narrow_ci95: Interval | None = None
