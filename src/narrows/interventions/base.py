"""The interface of every intervention, what those along directions share, and several of them at once."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING, ClassVar, Protocol

import torch
from torch import Tensor

from narrows.adapters.direction import Direction
from narrows.errors import AdapterError, ConfigError
from narrows.interventions.sites import SITES, Site, changed
from narrows.models import ChatModel

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Intervention(Protocol):
    """Changes a model's residual stream while it is attached."""

    @property
    def kind(self) -> str:
        """What it does, in a word: ``ablate``, ``add``, ``clamp``."""
        ...

    @property
    def identity(self) -> list[object]:
        """Everything that decides its effect, as plain values: what tells it from others in caches."""
        ...

    def check(self, model: "PreTrainedModel") -> None:
        """Raise an AdapterError if it does not fit the model."""
        ...

    def attach(self, model: "PreTrainedModel | ChatModel") -> AbstractContextManager[None]:
        """Change the model inside a ``with`` block, and never longer."""
        ...


class AlongDirections(ABC):
    """An intervention that does the same to every token's stream, along some directions, at a site.

    Attributes:
        directions: at least one, of one width.
        site: where the stream is changed.

    Raises:
        AdapterError: there is no direction, they have different widths, or at ``layer`` different layers.
        ConfigError: the intervention means nothing at that site.
    """

    kind: ClassVar[str]
    sites: ClassVar[tuple[Site, ...]] = SITES
    """Where this intervention can be made."""

    def __init__(self, directions: Direction | Sequence[Direction], site: Site) -> None:
        self.directions = [directions] if isinstance(directions, Direction) else list(directions)
        self.site: Site = site
        if not self.directions:
            raise AdapterError(f"there is no direction to {self.kind}.")
        if site not in self.sites:
            raise ConfigError(f"site is {site!r}; to {self.kind}, choose one of {', '.join(self.sites)}.")
        for one in self.directions[1:]:
            self.directions[0].cosine(one)
        if site == "layer" and len({one.layer for one in self.directions}) > 1:
            layers = ", ".join(str(one.layer) for one in self.directions)
            raise AdapterError(
                f"the directions are of layers {layers}, and the site is one layer: bring them to it with "
                "Direction.at(layer), or choose another site."
            )

    @property
    def identity(self) -> list[object]:
        """What it does, where, and the directions."""
        return [self.kind, self.site, [one.identity for one in self.directions]]

    def check(self, model: "PreTrainedModel") -> None:
        """See that every direction fits a model.

        Raises:
            AdapterError: one does not.
        """
        for one in self.directions:
            one.check(model)

    @abstractmethod
    def change(self, stream: Tensor) -> Tensor:
        """What becomes of the stream, (…, hidden) to (…, hidden), in its own dtype, out of place."""

    @contextmanager
    def attach(self, model: "PreTrainedModel | ChatModel") -> Iterator[None]:
        """Intervene inside the ``with`` block.

        Raises:
            AdapterError: a direction does not fit the model, or the site could not be found in it.
        """
        whole = model.model if isinstance(model, ChatModel) else model
        self.check(whole)
        with changed(whole, self.site, self.directions[0].layer, self.change):
            yield


class Held:
    """A tensor that is copied once to each device and dtype where it is needed, and not at every token."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor = tensor
        self._copies: dict[tuple[torch.device, torch.dtype], Tensor] = {}

    def like(self, other: Tensor) -> Tensor:
        """The tensor where another lies, in its dtype."""
        place = (other.device, other.dtype)
        if place not in self._copies:
            self._copies[place] = self._tensor.to(other)
        return self._copies[place]


def exactly(stream: Tensor) -> Tensor:
    """The stream in fp32, or in fp64 if that is its own."""
    return stream.to(torch.promote_types(stream.dtype, torch.float32))


def projection(stream: Tensor, unit: Tensor) -> Tensor:
    """h·u at every token, (…, hidden) to (…, 1).

    A sum of products and not a matrix product: those may run in TF32 on a GPU, with three digits.
    """
    return (stream * unit).sum(dim=-1, keepdim=True)


@contextmanager
def attached(model: "PreTrainedModel | ChatModel", interventions: Sequence[Intervention]) -> Iterator[None]:
    """Several interventions at once; each acts on what those before it left.

    Raises:
        AdapterError: one of them does not fit the model.
    """
    with ExitStack() as stack:
        for one in interventions:
            stack.enter_context(one.attach(model))
        yield
