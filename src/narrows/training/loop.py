"""The training loop: a window of rows a step, checkpoints on the way, resumed after a kill."""

from collections.abc import Sequence
from pathlib import Path

from narrows.adapters import Adapter, SteeringVector
from narrows.chat import Conversation
from narrows.models import ChatModel
from narrows.progress import bar
from narrows.training.observers import Audience, Observer
from narrows.training.ready import Training, TrainingRun
from narrows.training.recipe import Recipe
from narrows.training.trackers import tracked
from narrows.training.window import Window


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
    if preventative is not None:
        preventative = preventative.placed(chat_model.model)
        preventative.check(chat_model.model)
    training = Training.of(
        chat_model,
        rows,
        recipe,
        anchor=anchor,
        start=start,
        preventative=preventative,
        orthogonal_to=orthogonal_to,
        out=out,
    )
    audience = Audience(chat_model, observers)
    ended = audience.look(training.progress)
    with bar(name, training.steps) as shown:
        shown.advance(training.step)
        if training.step < training.steps and not ended:
            window = Window(
                chat_model,
                training.recipe,
                training.order,
                rows=training.rows,
                anchor=training.anchor,
                depth=training.adapter.depth,
                preventative=preventative,
            )
            settings = training.recipe.model_dump(mode="json")
            with tracked(trackers, training.folder, settings, step=training.step) as log:
                while training.step < training.steps and not ended:
                    _one_step(training, window)
                    last = training.progress.log[-1]
                    log(last)
                    kl = "" if last["kl"] is None else f", KL {last['kl']:.4f}"
                    shown.advance(note=f"loss {last['loss']:.3f}{kl}, norm {last['effective_norm']:.2f}")
                    ended = audience.look(training.progress)
    return training.finish()


def _one_step(training: Training, window: Window) -> None:
    """One update, with the gradient of its window of rows."""
    step = training.step
    training.begin_step()
    loss, kl = window.backward(training.adapter, step)
    training.end_step(loss, kl, lambda: window.sources(step))
