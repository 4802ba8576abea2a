"""One training, ready for its steps: all that belongs to it alone, whoever computes its gradients."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from narrows.adapters import Adapter, SteeringVector
from narrows.adapters.files import ADAPTER_FILE
from narrows.chat import Conversation, Rendered
from narrows.errors import TrainingError
from narrows.files import write_jsonl
from narrows.models import ChatModel
from narrows.training import prepare
from narrows.training.checkpoints import CheckpointFolder
from narrows.training.constraints import Constraints
from narrows.training.order import RowOrder
from narrows.training.recipe import Recipe
from narrows.training.resume import Progress

LOG_FILE = "log.jsonl"


@dataclass(frozen=True)
class TrainingRun:
    """A finished training run.

    Attributes:
        adapter: the adapter at the end.
        recipe: how it was trained, with the layer filled in.
        steps: how many steps it took.
        log: for each step ``step`` (from 1), ``loss`` (nats per response token) and ``kl`` (nats per anchor
            token, null where the anchor has no weight) before the update, ``kl_weight``, and
            ``effective_norm`` after it.
        trajectory: the checkpoints, by the number of steps done; 0 is the start.
        folder: where it was written, or None.
        stopped: whether an observer ended it before its last step.
    """

    adapter: Adapter
    recipe: Recipe
    steps: int
    log: list[dict[str, Any]]
    trajectory: dict[int, Adapter]
    folder: Path | None = None
    stopped: bool = False


@dataclass
class Training:
    """A training between two of its steps.

    Attributes:
        recipe: how the adapter is trained, with its place filled in.
        rows: the training rows.
        anchor: the anchor rows; none if the recipe is not anchored.
        order: which of them each step reads.
        constraints: what the adapter keeps to.
        folder: where it is written, or None.
        checkpoints: of the folder, if there is one.
        progress: where it stands: at the newest checkpoint that was found.
        complete: whether the folder held all of the training already, the finished adapter too.
    """

    recipe: Recipe
    rows: list[Rendered]
    anchor: list[Rendered]
    order: RowOrder
    constraints: Constraints
    folder: Path | None
    checkpoints: CheckpointFolder | None
    progress: Progress
    complete: bool

    @classmethod
    def of(
        cls,
        chat_model: ChatModel,
        rows: Sequence[Conversation],
        recipe: Recipe,
        *,
        anchor: Sequence[Conversation | str] = (),
        start: Adapter | None = None,
        preventative: Adapter | None = None,
        orthogonal_to: Sequence[SteeringVector] = (),
        out: Path | str | None = None,
    ) -> "Training":
        """Check and render what goes in, claim the folder, and go to its newest checkpoint.

        Raises:
            DataError, AdapterError, RunFolderError: as :func:`narrows.training.train` does.
        """
        adapter = prepare.starting_point(chat_model, recipe, start)
        recipe = prepare.as_trained(recipe, adapter)
        constraints = Constraints(adapter, recipe.max_norm, orthogonal_to)
        rendered = prepare.training_rows(chat_model, rows, recipe)
        anchored = prepare.anchor_rows(chat_model, anchor, recipe)
        folder = prepare.claim(
            chat_model,
            rendered,
            anchored,
            recipe,
            beside={"start": start, "preventative": preventative, "orthogonal_to": orthogonal_to},
            out=out,
        )
        if folder and start is not None and not (folder / prepare.START_FILE).exists():
            start.save(folder / prepare.START_FILE)
        progress = Progress.start(adapter, recipe)
        checkpoints = CheckpointFolder(folder / "checkpoints") if folder else None
        if checkpoints:
            progress.resume(checkpoints)
        order = RowOrder(recipe, len(rendered), len(anchored))
        written = folder is not None and (folder / ADAPTER_FILE).exists()
        complete = written and progress.step == order.steps
        return cls(recipe, rendered, anchored, order, constraints, folder, checkpoints, progress, complete)

    @property
    def adapter(self) -> Adapter:
        """What is trained, as it is now."""
        return self.progress.adapter

    @property
    def step(self) -> int:
        """How many steps are done."""
        return self.progress.step

    @property
    def steps(self) -> int:
        """How many there are in all."""
        return self.order.steps

    def rewind(self, step: int) -> None:
        """Go back to an earlier checkpoint, or to the start; files of later ones stay till written anew."""
        adapter = self.progress.trajectory[0].copy()
        for parameter in adapter.parameters():
            parameter.requires_grad_()
        self.progress = Progress.start(adapter, self.recipe)
        if self.checkpoints:
            self.progress.resume(self.checkpoints, until=step)

    def begin_step(self) -> None:
        """Set the learning rate of the step, and forget the gradient of the one before."""
        for group in self.progress.optimizer.param_groups:
            group["lr"] = self.recipe.rate_at(self.step, self.steps)
        self.progress.optimizer.zero_grad(set_to_none=True)

    def end_step(self, loss: float, kl: float | None, sources: Callable[[], str]) -> None:
        """The update, its log entry and, if due, its checkpoint; what is not finite is never recorded.

        Args:
            loss: mean NLL of the step.
            kl: mean KL of the step, or None.
            sources: says which rows the step read, for an error message.

        Raises:
            TrainingError: the losses, the gradient, or the adapter's norm after the update is not finite.
            RunFolderError: the checkpoint cannot be written.
        """
        progress, adapter = self.progress, self.adapter
        problem = _not_finite(adapter, loss, kl)
        if not problem:
            self.constraints.free(adapter)
            progress.optimizer.step()
            self.constraints.keep(adapter)
            norm = adapter.effective_norm
            if not math.isfinite(norm):
                problem = "the norm of the adapter is not finite after the update"
        if problem:
            raise TrainingError(self._stopped_by(problem, sources()))
        weight = self.recipe.anchor.weight_at(progress.step)
        progress.step += 1
        progress.log.append(
            {"step": progress.step, "loss": loss, "kl": kl, "kl_weight": weight, "effective_norm": norm}
        )
        if progress.step % self.recipe.checkpoint_every == 0 or progress.step == self.steps:
            progress.checkpoint(self.checkpoints)

    @property
    def tokens_read(self) -> int:
        """Tokens of the rows that the steps so far read, the anchor's included, padding left out."""
        read = 0
        for step in range(self.progress.step):
            read += sum(len(self.rows[place]) for place in self.order.training_rows(step))
            if self.anchor and self.recipe.anchor.weight_at(step) > 0:
                read += sum(len(self.anchor[place]) for place in self.order.anchor_rows(step))
        return read

    def finish(self) -> TrainingRun:
        """The run as it stands, written to its folder if it has one.

        Raises:
            RunFolderError: it cannot be written.
        """
        progress = self.progress
        result = progress.adapter.copy()
        result.metadata |= {
            "steps": progress.step,
            "tokens": self.tokens_read,
            "recipe": self.recipe.model_dump(mode="json"),
        }
        if self.folder:
            result.save(self.folder / ADAPTER_FILE)
            write_jsonl(self.folder / LOG_FILE, progress.log)
        stopped = progress.step < self.steps
        return TrainingRun(
            result, self.recipe, progress.step, progress.log, progress.trajectory, self.folder, stopped
        )

    def _stopped_by(self, problem: str, sources: str) -> str:
        """What an error says: the step, the last good checkpoint, the rows, and the way out."""
        kept = self.checkpoints.steps() if self.checkpoints else []
        good = self.checkpoints.path(kept[-1]) if self.checkpoints and kept else "none"
        return (
            f"{problem} at step {self.step + 1} of {self.steps}; training stopped. Last good checkpoint: "
            f"{good}. Look at the rows of this step ({sources}); if they are right, train into another "
            f"folder with a lower learning_rate (now {self.recipe.learning_rate:g})."
        )


def _not_finite(adapter: Adapter, loss: float, kl: float | None) -> str:
    """What is not finite before an update, in words; empty if all is well."""
    if not math.isfinite(loss):
        return f"the loss is {loss}"
    if kl is not None and not math.isfinite(kl):
        return f"the anchor's KL is {kl}"
    if not all(torch.isfinite(p.grad).all() for p in adapter.parameters() if p.grad is not None):
        return "the gradient of the loss is not finite"
    return ""
