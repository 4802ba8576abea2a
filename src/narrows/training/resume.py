"""Where a run stands, and how it gets there again after a kill, to the bit."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from narrows.adapters import Adapter
from narrows.training.checkpoints import CheckpointFolder, State
from narrows.training.recipe import Recipe

MOMENTS = ("step", "exp_avg", "exp_avg_sq")


@dataclass
class Progress:
    """Where a run stands: the adapter, its optimiser, and what has been recorded so far.

    Each checkpoint holds the adapter and the optimiser's moments at its step, and the log since the
    checkpoint before; all checkpoints together are the trajectory and the whole log.
    """

    adapter: Adapter
    optimizer: torch.optim.AdamW
    step: int = 0
    log: list[dict[str, Any]] = field(default_factory=list)
    trajectory: dict[int, Adapter] = field(default_factory=dict)

    @classmethod
    def start(cls, adapter: Adapter, recipe: Recipe) -> "Progress":
        """Before the first step."""
        optimizer = torch.optim.AdamW(
            adapter.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        return cls(adapter, optimizer, trajectory={0: adapter.copy()})

    def checkpoint(self, checkpoints: CheckpointFolder | None) -> None:
        """Record a point of the trajectory, on disk too if the run has a folder.

        Raises:
            RunFolderError: it cannot be written.
        """
        since = max(self.trajectory)
        self.trajectory[self.step] = self.adapter.copy()
        if checkpoints is not None:
            checkpoints.save(self.step, self.adapter.tensors() | self._moments(), {"log": self.log[since:]})

    def _moments(self) -> dict[str, Tensor]:
        """The optimiser's state by the name of what it belongs to."""
        state = self.optimizer.state_dict()["state"]
        names = list(self.adapter.tensors())
        return {
            f"{names[place]}.{name}": value
            for place, moments in state.items()
            for name, value in moments.items()
        }

    def resume(self, checkpoints: CheckpointFolder, until: int | None = None) -> None:
        """Go to the newest checkpoint up to which none is damaged or missing; later ones are dropped.

        Args:
            checkpoints: of this run, which stands at its start.
            until: go no further than this step; what is later stays.
        """
        last: State | None = None
        for state in checkpoints.history():
            if until is not None and state.step > until:
                break
            if not self._follows(state):
                checkpoints.drop_after(self.step)
                break
            self.step, last = state.step, state
            self.log += state.info["log"]
            self.trajectory[self.step] = self.adapter.copy().with_tensors(
                {name: state.tensors[name].to(mine.device) for name, mine in self.adapter.tensors().items()}
            )
        if last is not None:
            self._restore(last)

    def back_to(self, step: int) -> None:
        """Forget what came after a checkpoint. The optimiser is left as it is: no step follows."""
        kept = self.trajectory[step].tensors()
        with torch.no_grad():
            for name, tensor in self.adapter.tensors().items():
                tensor.copy_(kept[name])
        self.trajectory = {at: adapter for at, adapter in self.trajectory.items() if at <= step}
        self.step, self.log = step, self.log[:step]

    def _follows(self, state: State) -> bool:
        """Whether a checkpoint is the next of this run: it has the log since, and tensors of our shapes."""
        log = state.info.get("log")
        return (
            isinstance(log, list)
            and state.step == self.step + len(log)
            and all(
                name in state.tensors
                and state.tensors[name].shape == mine.shape
                and all(f"{name}.{moment}" in state.tensors for moment in MOMENTS)
                for name, mine in self.adapter.tensors().items()
            )
        )

    def _restore(self, last: State) -> None:
        """Take over a checkpoint's adapter and optimiser."""
        with torch.no_grad():
            for name, tensor in self.adapter.tensors().items():
                tensor.copy_(last.tensors[name])
        moments = {
            place: {moment: last.tensors[f"{name}.{moment}"] for moment in MOMENTS}
            for place, name in enumerate(self.adapter.tensors())
        }
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": moments})
