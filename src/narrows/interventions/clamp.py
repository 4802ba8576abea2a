"""Clamp: the stream's projection on a direction is set to one value."""

from typing import ClassVar

from torch import Tensor

from narrows.adapters.direction import Direction
from narrows.errors import ConfigError
from narrows.interventions.base import AlongDirections, Held, exactly, projection
from narrows.interventions.sites import Site


class Clamp(AlongDirections):
    """h + (value − h·u)u: afterwards h·u is the value, at every token; at 0 it is ablation.

    Args:
        direction: u.
        value: of the projection, in the units of the residual stream.
        site: its own ``layer``, all ``layers``, or wherever the ``stream`` is read or written.

    Raises:
        ConfigError: ``value`` is not finite, or there is no such site.
    """

    kind: ClassVar[str] = "clamp"
    sites: ClassVar[tuple[Site, ...]] = ("layer", "layers", "stream")

    def __init__(self, direction: Direction, value: float = 0.0, site: Site = "layers") -> None:
        super().__init__(direction, site)
        if not abs(value) < float("inf"):
            raise ConfigError(f"value is {value}; it must be a finite number.")
        self.value = value
        self._unit = Held(direction.unit)

    @property
    def identity(self) -> list[object]:
        """What it does, where, the direction, and the value."""
        return [*super().identity, self.value]

    def change(self, stream: Tensor) -> Tensor:
        """The stream with the projection set, (…, hidden)."""
        exact = exactly(stream)
        unit = self._unit.like(exact)
        return (exact + (self.value - projection(exact, unit)) * unit).to(stream.dtype)
