"""The interface of every intervention, and several of them at once."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING, Protocol

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
