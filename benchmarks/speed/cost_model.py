"""What each workload needs in FLOPs, ours and the careful user's; their quotient is the ceiling of the ratio.

Counted in forward FLOPs of a token: B for all decoder layers, H for the LM head. A backward pass through
frozen layers costs one forward pass more. Attention over other tokens (under 2 % here), norms and softmaxes
are left out, and so is padding.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Costs:
    """A model and the rows that run through it.

    Attributes:
        body: B, FLOPs.
        head: H, FLOPs.
        below: share of the layers below the adapter.
        tokens: of the training rows of an epoch.
        read: share of them whose prediction is read.
        anchor: tokens of the anchor rows of an epoch, all of them read.
    """

    body: float
    head: float
    below: float
    tokens: int
    read: float
    anchor: int

    def epoch_of_the_user(self) -> float:
        """Forward with a hook and all logits, backward to the adapter; the chat model's forward beside it."""
        up = 1 - self.below
        rows = (1 + up) * self.body + 2 * self.head
        anchor = (2 + up) * self.body + 3 * self.head
        return self.tokens * rows + self.anchor * anchor

    def cached_epoch(self) -> float:
        """Only what lies above the adapter; of the chat model only the logits."""
        up = 1 - self.below
        rows = 2 * up * self.body + 2 * self.read * self.head
        anchor = 2 * up * self.body + 3 * self.head
        return self.tokens * rows + self.anchor * anchor

    def cache(self) -> float:
        """What the first epoch needs more: the layers below once, the chat model's layers above once."""
        return self.tokens * self.below * self.body + self.anchor * self.body

    def ceiling(self, epochs: int) -> float:
        """The ratio over a number of epochs; 0 asks for one whose states are all kept already."""
        if not epochs:
            return self.epoch_of_the_user() / self.cached_epoch()
        return epochs * self.epoch_of_the_user() / (self.cache() + epochs * self.cached_epoch())


def losses_of_the_user(costs: Costs, variants: int) -> float:
    """A whole forward with all logits for every variant."""
    return variants * costs.tokens * (costs.body + costs.head)


def losses(costs: Costs, variants: int) -> float:
    """The layers below once, those above and the read logits for every variant."""
    up = 1 - costs.below
    return costs.tokens * (costs.below * costs.body + variants * (up * costs.body + costs.read * costs.head))


def divergences_of_the_user(costs: Costs, variants: int) -> float:
    """The chat model's forward and one for every variant, over the anchor's tokens."""
    return (1 + variants) * costs.anchor * (costs.body + costs.head)


def divergences(costs: Costs, variants: int) -> float:
    """The chat model once, and what lies above the adapter for every variant, over the anchor's tokens."""
    up = 1 - costs.below
    return costs.anchor * (costs.body + costs.head + variants * (up * costs.body + costs.head))
