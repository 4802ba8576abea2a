"""Where a run stands, and how it gets there again after a kill, to the bit."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from narrows.adapters import SteeringVector
from narrows.training.checkpoints import CheckpointFolder, State
from narrows.training.recipe import Recipe


@dataclass
class Progress:
    """Where a run stands: the adapter, its optimiser, and what has been recorded so far.

    Each checkpoint holds the adapter and the optimiser's moments at its step, and the log since the
    checkpoint before; all checkpoints together are the trajectory and the whole log.
    """

    adapter: SteeringVector
    optimizer: torch.optim.AdamW
    step: int = 0
    log: list[dict[str, Any]] = field(default_factory=list)
    trajectory: dict[int, SteeringVector] = field(default_factory=dict)

    @classmethod
    def start(cls, adapter: SteeringVector, recipe: Recipe) -> "Progress":
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
            moments: dict[str, Tensor] = self.optimizer.state_dict()["state"][0]
            checkpoints.save(self.step, {"vector": self.adapter.vector, **moments}, {"log": self.log[since:]})

    def resume(self, checkpoints: CheckpointFolder) -> None:
        """Go to the newest checkpoint up to which none is damaged or missing; later ones are dropped."""
        last: State | None = None
        for state in checkpoints.history():
            if state.step != self.step + len(state.info["log"]):
                checkpoints.drop_after(self.step)
                break
            self.step, last = state.step, state
            self.log += state.info["log"]
            self.trajectory[self.step] = SteeringVector(
                state.tensors["vector"], self.adapter.layer, self.adapter.alpha
            ).to(self.adapter.vector.device)
        if last is not None:
            with torch.no_grad():
                self.adapter.vector.copy_(last.tensors["vector"])
            moments = {name: last.tensors[name] for name in ("step", "exp_avg", "exp_avg_sq")}
            self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": {0: moments}})
