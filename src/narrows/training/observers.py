"""Observers: who looks on while an adapter is trained, and may end the training."""

from collections.abc import Sequence
from typing import Protocol

from narrows.adapters import Adapter
from narrows.models import ChatModel
from narrows.training.resume import Progress


class Observer(Protocol):
    """Looks at each checkpoint of a training, the start (step 0) included."""

    def checkpoint(self, chat_model: ChatModel, step: int, adapter: Adapter) -> bool:
        """Look at one checkpoint; every one comes once and in order, after a kill from the first again.

        Args:
            chat_model: the frozen model; nothing is attached to it.
            step: how many steps are done.
            adapter: the adapter then, a copy.

        Returns:
            True to end the training here.
        """
        ...


class Audience:
    """A training's observers, each shown every checkpoint once.

    A resumed run shows the checkpoints that it finds, so an observer that looks at the adapter only sees (and
    decides) what it would have in a run that was never stopped.
    """

    def __init__(self, chat_model: ChatModel, observers: Sequence[Observer]) -> None:
        self._chat_model = chat_model
        self._observers = list(observers)
        self._shown = -1
        self._ends = False

    def look(self, progress: Progress) -> bool:
        """Show the checkpoints that were not shown yet; True once an observer has ended the training.

        What lies after the checkpoint at which it ends is forgotten.
        """
        for step in sorted(progress.trajectory):
            if step <= self._shown or self._ends:
                continue
            point = progress.trajectory[step]
            # To each a copy of its own: whatever an observer does to it, the trajectory stays.
            asked = [one.checkpoint(self._chat_model, step, point.copy()) for one in self._observers]
            self._shown, self._ends = step, any(asked)
        if self._ends:
            progress.back_to(self._shown)
        return self._ends
