"""The training loop: a window of rows a step, checkpoints on the way, resumed after a kill."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from narrows.adapters import Adapter, SteeringVector
from narrows.adapters.files import ADAPTER_FILE
from narrows.chat import Conversation
from narrows.errors import TrainingError
from narrows.files import write_jsonl
from narrows.models import ChatModel
from narrows.progress import bar
from narrows.training import prepare
from narrows.training.checkpoints import CheckpointFolder
from narrows.training.constraints import Constraints
from narrows.training.observers import Audience, Observer
from narrows.training.order import RowOrder
from narrows.training.recipe import Recipe
from narrows.training.resume import Progress
from narrows.training.trackers import tracked
from narrows.training.window import Window

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


def train(
    chat_model: ChatModel,
    rows: Sequence[Conversation],
    recipe: Recipe | None = None,
    *,
    anchor: Sequence[Conversation | str] = (),
    start: Adapter | None = None,
    preventative: Adapter | None = None,
    orthogonal_to: Sequence[SteeringVector] = (),
    observers: Sequence[Observer] = (),
    out: Path | str | None = None,
    name: str = "training",
    trackers: Sequence[str] = (),
) -> TrainingRun:
    """Train an adapter on a behaviour's rows, with the recipe's anchor if it has one.

    The loss of a step is mean NLL of the response tokens + λ · mean KL(chat ‖ adapted) of the anchor's
    tokens, both over the whole accumulation window (paper §3): how the window is cut into passes does not
    change it.

    A run with a folder that was stopped in any way goes on from its last checkpoint when it is started
    again, and ends, on a CPU, with the bits of one that was never stopped. A finished one is read, not
    trained again.

    Args:
        chat_model: the frozen model.
        rows: the behaviour's training rows.
        recipe: how to train (default: the paper's steering vector without an anchor).
        anchor: rows outside the domain, rendered as chats (or, if strings, as plain text).
        start: train on from this adapter, with a fresh optimiser; its place and scale are kept.
        preventative: attached while the training rows are read, and never after (not for the anchor's rows
            either): steering towards a trait, so that the adapter need not learn it (Chen et al. 2025).
        orthogonal_to: keep the trained vector at a right angle to these, after every step.
        observers: see every checkpoint, and may end the training there.
        out: folder of the run; checkpoints, log and adapter are written there.
        name: what the progress bar shows.
        trackers: of Accelerate's, such as ``tensorboard``: they get every entry of the log.

    Returns:
        The run, with the adapter and its trajectory.

    Raises:
        DataError: no rows, a row without response tokens, an anchor weight without anchor rows, or an
            anchor row of which nothing is read.
        AdapterError: the layer does not exist, or ``start`` does not fit.
        TrainingError: the loss or its gradient is not finite; names the step and the last good checkpoint.
        RunFolderError: ``out`` holds another run, or cannot be written.
        ConfigError: there is no such tracker, or its package is not installed.
    """
    recipe = recipe or Recipe()
    adapter = prepare.starting_point(chat_model, recipe, start)
    recipe = prepare.as_trained(recipe, adapter)
    if preventative is not None:
        preventative = preventative.placed(chat_model.model)
        preventative.check(chat_model.model)
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
    checkpoints = CheckpointFolder(folder / "checkpoints") if folder else None
    order = RowOrder(recipe, len(rendered), len(anchored))
    progress = Progress.start(adapter, recipe)
    if checkpoints:
        progress.resume(checkpoints)
    audience = Audience(chat_model, observers)
    ended = audience.look(progress)
    with bar(name, order.steps) as shown:
        shown.advance(progress.step)
        if progress.step < order.steps and not ended:
            window = Window(
                chat_model,
                recipe,
                order,
                rows=rendered,
                anchor=anchored,
                depth=adapter.depth,
                preventative=preventative,
            )
            with tracked(trackers, folder, recipe.model_dump(mode="json"), step=progress.step) as log:
                while progress.step < order.steps and not ended:
                    _one_step(progress, window, recipe, constraints, order.steps, checkpoints=checkpoints)
                    last = progress.log[-1]
                    log(last)
                    kl = "" if last["kl"] is None else f", KL {last['kl']:.4f}"
                    shown.advance(note=f"loss {last['loss']:.3f}{kl}, norm {last['effective_norm']:.2f}")
                    ended = audience.look(progress)
    stopped = progress.step < order.steps
    result = adapter.copy()
    result.metadata |= {"steps": progress.step, "recipe": recipe.model_dump(mode="json")}
    if folder:
        result.save(folder / ADAPTER_FILE)
        write_jsonl(folder / LOG_FILE, progress.log)
    return TrainingRun(result, recipe, progress.step, progress.log, progress.trajectory, folder, stopped)


def _one_step(
    progress: Progress,
    window: Window,
    recipe: Recipe,
    constraints: Constraints,
    steps: int,
    *,
    checkpoints: CheckpointFolder | None,
) -> None:
    """One update, its log entry and, if due, its checkpoint; nothing that is not finite is ever recorded."""
    adapter, optimizer, step = progress.adapter, progress.optimizer, progress.step
    for group in optimizer.param_groups:
        group["lr"] = recipe.rate_at(step, steps)
    optimizer.zero_grad(set_to_none=True)
    loss, kl = window.backward(adapter, step)
    problem = _not_finite(adapter, loss, kl)
    if not problem:
        constraints.free(adapter)
        optimizer.step()
        constraints.keep(adapter)
        if not math.isfinite(adapter.effective_norm):
            problem = "the norm of the adapter is not finite after the update"
    if problem:
        kept = checkpoints.steps() if checkpoints else []
        raise TrainingError(
            f"{problem} at step {step + 1} of {steps}; training stopped. Last good checkpoint: "
            f"{checkpoints.path(kept[-1]) if checkpoints and kept else 'none'}. Look at the rows of this "
            f"step ({window.sources(step)}); if they are right, train into another folder with a lower "
            f"learning_rate (now {recipe.learning_rate:g})."
        )
    progress.step += 1
    progress.log.append(
        {
            "step": progress.step,
            "loss": loss,
            "kl": kl,
            "kl_weight": recipe.anchor.weight_at(step),
            "effective_norm": adapter.effective_norm,
        }
    )
    if progress.step % recipe.checkpoint_every == 0 or progress.step == steps:
        progress.checkpoint(checkpoints)


def _not_finite(adapter: Adapter, loss: float, kl: float | None) -> str:
    """What is not finite before an update, in words; empty if all is well."""
    if not math.isfinite(loss):
        return f"the loss is {loss}"
    if kl is not None and not math.isfinite(kl):
        return f"the anchor's KL is {kl}"
    if not all(torch.isfinite(p.grad).all() for p in adapter.parameters() if p.grad is not None):
        return "the gradient of the loss is not finite"
    return ""
