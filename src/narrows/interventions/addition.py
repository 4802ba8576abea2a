"""Addition: the stream is pushed along a direction."""

from typing import ClassVar

from torch import Tensor

from narrows.adapters.direction import Direction
from narrows.errors import ConfigError
from narrows.interventions.base import AlongDirections, Held
from narrows.interventions.sites import Site


class Addition(AlongDirections):
    """h + α·u at a layer's output, or at every layer's; at every token.

    At one ``layer`` it is steering with :meth:`narrows.adapters.Direction.steering`, bit for bit.

    Args:
        direction: u.
        amount: α, in the units of the residual stream (default: the direction's own length); negative pushes
            the other way.
        site: its own ``layer``, or all ``layers``, to each of which α·u is added anew.

    Raises:
        ConfigError: ``amount`` is not finite, or there is no such site.
    """

    kind: ClassVar[str] = "add"
    sites: ClassVar[tuple[Site, ...]] = ("layer", "layers")

    def __init__(self, direction: Direction, amount: float | None = None, site: Site = "layer") -> None:
        super().__init__(direction, site)
        self.amount = direction.length if amount is None else amount
        if not abs(self.amount) < float("inf"):
            raise ConfigError(f"amount is {self.amount}; it must be a finite number.")
        self._push = Held(direction.steering(self.amount).effective)

    @property
    def identity(self) -> list[object]:
        """What it does, where, the direction, and how much of it."""
        return [*super().identity, self.amount]

    def change(self, stream: Tensor) -> Tensor:
        """The stream with α·u, (…, hidden)."""
        return stream + self._push.like(stream)
