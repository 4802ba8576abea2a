"""The training loop: one window of rows a step, both losses as token means over the window, resumable to the bit."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from narrows.adapters import SteeringVector
from narrows.chat import Conversation, Rendered
from narrows.errors import AdapterError, DataError, TrainingError
from narrows.files import claim_run_folder, digest, write_jsonl
from narrows.models import ChatModel, FrozenRows, Head
from narrows.progress import bar
from narrows.training.checkpoints import CheckpointFolder, State
from narrows.training.objective import anchor_kl, response_nll
from narrows.training.order import RowOrder
from narrows.training.recipe import Recipe

ADAPTER_FILE = "adapter.safetensors"


@dataclass(frozen=True)
class TrainingRun:
    """A finished training run.

    Attributes:
        adapter: the adapter at the end.
        recipe: how it was trained, with the layer filled in.
        steps: how many steps it took.
        log: for each step ``step``, ``loss`` (nats per response token), ``kl`` (nats per anchor token, null
            without an anchor), ``kl_weight``, ``effective_norm``.
        trajectory: the checkpoints, by step; step 0 is the start.
        folder: where it was written, or None.
    """

    adapter: SteeringVector
    recipe: Recipe
    steps: int
    log: list[dict[str, Any]]
    trajectory: dict[int, SteeringVector]
    folder: Path | None = None


@dataclass
class _Progress:
    """Where a run stands."""

    adapter: SteeringVector
    optimizer: torch.optim.AdamW
    step: int = 0
    log: list[dict[str, Any]] = field(default_factory=list)
    trajectory: dict[int, SteeringVector] = field(default_factory=dict)


def train(
    chat_model: ChatModel,
    rows: Sequence[Conversation],
    recipe: Recipe | None = None,
    *,
    anchor: Sequence[Conversation | str] = (),
    start: SteeringVector | None = None,
    out: Path | str | None = None,
    name: str = "training",
) -> TrainingRun:
    """Train a steering vector on a behaviour's rows, with the recipe's anchor if it has one.

    The loss of a step is mean NLL of the response tokens + λ · mean KL(chat ‖ adapted) of the anchor's tokens, both
    over the whole accumulation window (paper §3): how the window is cut into passes does not change it.

    Args:
        chat_model: the frozen model.
        rows: the behaviour's training rows.
        recipe: how to train (default: the paper's steering vector without an anchor).
        anchor: rows outside the domain, rendered as chats (or, if strings, as plain text).
        start: train on from this vector, with a fresh optimiser; its layer and α are kept.
        out: folder of the run; checkpoints, log and adapter are written there, and a killed run continues.
        name: what the progress bar shows.

    Returns:
        The run, with the adapter and its trajectory.

    Raises:
        DataError: no rows, a row without response tokens, or an anchor weight without anchor rows.
        AdapterError: the layer does not exist, or ``start`` does not fit.
        TrainingError: the loss is not finite; names the step and the last good checkpoint.
        RunFolderError: ``out`` holds another run, or cannot be written.
    """
    adapter = _starting_point(chat_model, recipe or Recipe(), start)
    recipe = (recipe or Recipe()).model_copy(update={"layer": adapter.layer, "alpha": adapter.alpha})
    rendered, anchored = _render(chat_model, rows, recipe, anchor)
    folder = _claim(chat_model, rendered, anchored, recipe, start, out)
    order = RowOrder(recipe, len(rendered), len(anchored))
    checkpoints = CheckpointFolder(folder / "checkpoints") if folder else None
    progress = _resume(adapter, recipe, checkpoints)
    with bar(name, order.steps) as shown:
        if progress.step < order.steps:
            window = _Window(chat_model, recipe, order, rendered, anchored, adapter.depth)
            shown.advance(progress.step)
            while progress.step < order.steps:
                _one_step(progress, window, recipe, order.steps, checkpoints)
                last = progress.log[-1]
                kl = "" if last["kl"] is None else f", KL {last['kl']:.4f}"
                shown.advance(note=f"loss {last['loss']:.3f}{kl}, norm {last['effective_norm']:.2f}")
    result = progress.adapter.copy()
    result.metadata |= {"steps": order.steps, "recipe": recipe.model_dump(mode="json")}
    if folder:
        result.save(folder / ADAPTER_FILE)
        write_jsonl(folder / "log.jsonl", progress.log)
    return TrainingRun(result, recipe, order.steps, progress.log, progress.trajectory, folder)


def _starting_point(chat_model: ChatModel, recipe: Recipe, start: SteeringVector | None) -> SteeringVector:
    """The adapter that training changes: zero, or a copy of ``start``."""
    if start is None:
        layer = chat_model.layers // 2 if recipe.layer is None else recipe.layer
        adapter = SteeringVector.zeros(chat_model, layer, recipe.alpha)
    else:
        if recipe.layer not in (None, start.layer):
            raise AdapterError(
                f"the recipe trains layer {recipe.layer}, but the starting vector sits at layer {start.layer}: "
                "leave the recipe's layer out, or start afresh."
            )
        adapter = start.copy()
        with adapter.attach(chat_model):
            pass  # checks the layer and the width
    adapter = adapter.to(chat_model.device)
    adapter.metadata = {}
    adapter.vector.requires_grad_()
    return adapter


def _render(
    chat_model: ChatModel, rows: Sequence[Conversation], recipe: Recipe, anchor: Sequence[Conversation | str]
) -> tuple[list[Rendered], list[Rendered]]:
    """Training and anchor rows as tokens."""
    if not rows:
        raise DataError("there are no training rows.")
    if recipe.anchored and not anchor:
        raise DataError(
            f"the recipe has an anchor of weight {recipe.anchor.weight:g}, but no anchor rows were given: give rows "
            "outside the domain, or set anchor.weight to 0."
        )
    renderer = chat_model.renderer
    rendered = [renderer.render(row, recipe.max_length) for row in rows]
    if not recipe.anchored:
        return rendered, []
    length = recipe.max_length
    anchored = [
        renderer.text(row, length) if isinstance(row, str) else renderer.render(row, length) for row in anchor
    ]
    return rendered, anchored


def _claim(
    chat_model: ChatModel,
    rendered: list[Rendered],
    anchored: list[Rendered],
    recipe: Recipe,
    start: SteeringVector | None,
    out: Path | str | None,
) -> Path | None:
    """The run's folder; its identity is everything that determines the result."""
    if out is None:
        return None
    identity = {
        "kind": "training",
        "model": chat_model.id,
        "template": chat_model.renderer.template_hash,
        "recipe": recipe.model_dump(mode="json"),
        "rows": digest([row.input_ids for row in rendered]),
        "anchor": digest([row.input_ids for row in anchored]),
        "start": None if start is None else digest(start.effective.tolist()),
    }
    return claim_run_folder(Path(out), identity)


def _resume(adapter: SteeringVector, recipe: Recipe, checkpoints: CheckpointFolder | None) -> _Progress:
    """Start, or go on from the newest checkpoint that can be read."""
    optimizer = torch.optim.AdamW(
        adapter.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    progress = _Progress(adapter, optimizer, trajectory={0: adapter.copy()})
    newest = checkpoints.newest() if checkpoints else None
    if checkpoints is None or newest is None:
        return progress
    for step in checkpoints.steps():
        state = checkpoints.load(step)
        progress.log += state.info["log"]
        progress.trajectory[step] = SteeringVector(state.tensors["vector"], adapter.layer, adapter.alpha)
    progress.step = newest.step
    _restore(progress, newest)
    return progress


def _restore(progress: _Progress, state: State) -> None:
    """Put the adapter and the optimiser's moments back."""
    with torch.no_grad():
        progress.adapter.vector.copy_(state.tensors["vector"])
    moments = {name: state.tensors[name] for name in ("step", "exp_avg", "exp_avg_sq")}
    progress.optimizer.load_state_dict({**progress.optimizer.state_dict(), "state": {0: moments}})


def _save(progress: _Progress, checkpoints: CheckpointFolder, since: int) -> None:
    """One checkpoint: the adapter, the optimiser's moments, and the log since the checkpoint before."""
    moments = progress.optimizer.state_dict()["state"][0]
    tensors: dict[str, Tensor] = {"vector": progress.adapter.vector, **moments}
    checkpoints.save(progress.step, tensors, {"log": progress.log[since:]})


class _Window:
    """The losses of one step's window of rows."""

    def __init__(
        self,
        chat_model: ChatModel,
        recipe: Recipe,
        order: RowOrder,
        rows: list[Rendered],
        anchored: list[Rendered],
        depth: int,
    ) -> None:
        self.recipe = recipe
        self._order = order
        self._accelerator = Accelerator(cpu=chat_model.device.type == "cpu")
        self._head = Head(chat_model.model)
        self._rows = FrozenRows(chat_model, depth, rows, read="response")
        self._anchor = FrozenRows(chat_model, depth, anchored, read=recipe.anchor.positions, reference=True)

    def backward(self, adapter: SteeringVector, step: int) -> tuple[float, float | None]:
        """Add the window's gradient to the adapter's; returns the mean NLL and the mean KL."""
        recipe, split, head = self.recipe, self._rows.split, self._head
        window = self._order.training_rows(step)
        count = self._rows.tokens(window)
        nll = 0.0
        for rows in self._mine(window, recipe.batch_size):
            losses = response_nll(split, head, adapter, self._rows.batch(rows))
            (losses.sum() / count).backward()  # type: ignore[no-untyped-call]
            nll += float(losses.detach().sum())
        kl: float | None = None
        weight = recipe.anchor.weight_at(step)
        if weight > 0:
            kl = 0.0
            window = self._order.anchor_rows(step)
            anchor_count = self._anchor.tokens(window)
            for rows in self._mine(window, max(1, round(recipe.batch_size * recipe.anchor.rows_per_row))):
                losses = anchor_kl(split, head, adapter, self._anchor.batch(rows))
                (weight * losses.sum() / anchor_count).backward()  # type: ignore[no-untyped-call]
                kl += float(losses.detach().sum())
            kl = self._total(kl) / anchor_count
        for parameter in adapter.parameters():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            if self._accelerator.num_processes > 1:
                parameter.grad = self._accelerator.reduce(parameter.grad, reduction="sum")
        return self._total(nll) / count, kl

    def _mine(self, window: list[int], size: int) -> Iterator[list[int]]:
        """This process's share of the window's passes."""
        processes, mine = self._accelerator.num_processes, self._accelerator.process_index
        for number, rows in enumerate(self._order.passes(window, size)):
            if number % processes == mine:
                yield rows

    def _total(self, value: float) -> float:
        """A sum over all processes."""
        if self._accelerator.num_processes == 1:
            return value
        tensor = torch.tensor(value, dtype=torch.float64, device=self._accelerator.device)
        return float(self._accelerator.reduce(tensor, reduction="sum"))


def _one_step(
    progress: _Progress, window: _Window, recipe: Recipe, steps: int, checkpoints: CheckpointFolder | None
) -> None:
    """One update, its log entry and, if due, its checkpoint."""
    for group in progress.optimizer.param_groups:
        group["lr"] = recipe.rate_at(progress.step, steps)
    progress.optimizer.zero_grad(set_to_none=True)
    loss, kl = window.backward(progress.adapter, progress.step)
    weight = recipe.anchor.weight_at(progress.step)
    if not math.isfinite(loss + (kl or 0.0)):
        kept = (
            checkpoints.path(checkpoints.steps()[-1]) if checkpoints and checkpoints.steps() else "none yet"
        )
        raise TrainingError(
            f"the loss is {loss} (KL {kl}) at step {progress.step + 1} of {steps}; training stopped. Last good "
            f"checkpoint: {kept}. Lower learning_rate (now {recipe.learning_rate:g}) and look at the rows of this step."
        )
    progress.optimizer.step()
    _keep_norm(progress.adapter, recipe.max_norm)
    progress.step += 1
    progress.log.append(
        {
            "step": progress.step,
            "loss": loss,
            "kl": kl,
            "kl_weight": weight,
            "effective_norm": progress.adapter.effective_norm,
        }
    )
    if progress.step % recipe.checkpoint_every == 0 or progress.step == steps:
        since = max(progress.trajectory)
        progress.trajectory[progress.step] = progress.adapter.copy()
        if checkpoints:
            _save(progress, checkpoints, since)


def _keep_norm(adapter: SteeringVector, max_norm: float | None) -> None:
    """Project back onto the ball of the recipe's largest norm, if it sets one."""
    if max_norm is not None and adapter.effective_norm > max_norm:
        with torch.no_grad():
            adapter.vector.mul_(max_norm / adapter.effective_norm)
