"""Many trainings at once, in shared passes: what each ends with is what it would have come to alone."""

import logging
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from accelerate import PartialState

from narrows.adapters import Adapter
from narrows.chat import Conversation
from narrows.errors import ConfigError, NarrowsError, TrainingError
from narrows.models import ChatModel, is_sharded
from narrows.progress import bar
from narrows.training.bank import BankWindow
from narrows.training.loop import train
from narrows.training.ready import Training, TrainingRun
from narrows.training.recipe import Recipe

logger = logging.getLogger(__name__)

KEY_FACTS = (
    "adapter",
    "layer",
    "rank",
    "target_modules",
    "layers",
    "anchor.positions",
    "gradient_checkpointing",
    "checkpoint_every",
)
"""What :func:`bank_key` consists of."""


@dataclass(frozen=True)
class Member:
    """One training of a bank.

    Attributes:
        name: what messages call it.
        rows: the behaviour's training rows.
        recipe: how it is trained.
        anchor: rows outside the domain.
        start: train on from this adapter.
        out: folder of the run.
    """

    name: str
    rows: Sequence[Conversation]
    recipe: Recipe
    anchor: Sequence[Conversation | str] = ()
    start: Adapter | None = None
    out: Path | None = None


def bank_key(recipe: Recipe) -> tuple[Hashable, ...] | None:
    """What recipes must agree in to share a pass: where and what the adapter is, and how passes are made.

    λ, seed, learning rate, weight decay, steps, window, warm-up, α, largest norm, system prompt and length
    may differ, and so may rows, anchor rows and starting adapters. Checkpoints must come at the same steps,
    so that a bank that was killed finds one which all its members have.

    Returns:
        The facts, to be compared with those of recipes for the same model; None if the recipe cannot share
        a pass: it reproduces a defect of the published code.
    """
    if recipe.as_published:
        return None
    lora = recipe.adapter == "lora"
    return (
        recipe.adapter,
        recipe.layer,
        recipe.rank if lora else None,
        recipe.target_modules if lora else None,
        (recipe.layers or (recipe.layer,)) if lora else None,
        recipe.anchor.positions,
        recipe.gradient_checkpointing,
        recipe.checkpoint_every,
    )


def can_share(left: Recipe, right: Recipe) -> bool:
    """Whether trainings by two recipes, of the same model, can share a pass (:func:`bank_key`)."""
    key = bank_key(left)
    return key is not None and key == bank_key(right)


def train_together(
    chat_model: ChatModel, members: Sequence[Member], *, name: str = "training"
) -> list[TrainingRun]:
    """Train adapters at once: the rows of all of them share passes, each row changed by its own adapter.

    Each member's loss is its own token mean over its own window, so its gradient is that of training alone;
    adapters, logs, trajectories and folders are those of :func:`narrows.training.train`, up to the rounding
    of fp32, which depends on what shares a pass. ``train`` finds a member's folder again and goes on there,
    and a bank goes on where ``train`` was stopped.

    A bank that was stopped in any way goes on from the newest checkpoint that all its members have, when it
    is started again, and ends, on a CPU, with the bits of one that was never stopped. Members whose folder
    holds a finished adapter are read and take no place in the bank; one that stands further than the others
    waits for them. What is computed beside other members than before may be rounded otherwise.

    A member whose loss or gradient is not finite leaves the bank, and the others are finished first. Under
    ``accelerate launch``, and with a model whose layers are shared out, the members are trained one after
    another.

    Args:
        chat_model: the frozen model.
        members: at least one; see :func:`bank_key` for what they must agree in.
        name: what the progress bar shows.

    Returns:
        The runs, in the members' order.

    Raises:
        ConfigError: there are no members, two have one folder, or some cannot share a pass.
        TrainingError: the loss or gradient of a member is not finite; all others are finished and, if they
            have folders, kept.
        DataError, AdapterError, RunFolderError: as ``train`` does, before anything is trained.
    """
    _check(members)
    if PartialState(cpu=chat_model.device.type == "cpu").num_processes > 1 or is_sharded(chat_model.model):
        return [
            train(
                chat_model,
                one.rows,
                one.recipe,
                anchor=one.anchor,
                start=one.start,
                out=one.out,
                name=one.name,
            )
            for one in members
        ]
    trainings = []
    for one in members:
        with _named(one.name):
            ready = Training.of(
                chat_model, one.rows, one.recipe, anchor=one.anchor, start=one.start, out=one.out
            )
        trainings.append(ready)
    _check_places(members, trainings)
    _meet(trainings)
    left = [number for number, training in enumerate(trainings) if not training.complete]
    names = [members[number].name for number in left]
    failed = _train(chat_model, [trainings[number] for number in left], names, name)
    broken = {left[place] for place in failed}
    runs = [training.finish() for number, training in enumerate(trainings) if number not in broken]
    for place, error in failed.items():
        others = f" The other {len(runs)} trainings of the bank are finished." if runs else ""
        raise TrainingError(f"{names[place]}: {error}{others}") from error
    return runs


def _alone(chat_model: ChatModel, one: Member) -> TrainingRun:
    return train(
        chat_model, one.rows, one.recipe, anchor=one.anchor, start=one.start, out=one.out, name=one.name
    )


def _train(
    chat_model: ChatModel, trainings: list[Training], names: list[str], name: str
) -> dict[int, TrainingError]:
    """Take all steps that are left; returns what went wrong, by the number of the training."""
    waiting = {number for number, one in enumerate(trainings) if one.step < one.steps}
    failed: dict[int, TrainingError] = {}
    with bar(name, sum(one.steps for one in trainings)) as shown:
        shown.advance(sum(one.step for one in trainings))
        window = BankWindow(chat_model, trainings) if waiting else None
        while waiting and window:
            step = min(trainings[number].step for number in waiting)
            active = sorted(number for number in waiting if trainings[number].step == step)
            for number in active:
                trainings[number].begin_step()
            losses = window.backward(active, step)
            for number, (loss, kl) in zip(active, losses, strict=True):
                training = trainings[number]
                try:
                    training.end_step(loss, kl, lambda: window.sources(number, step))  # noqa: B023
                except TrainingError as error:
                    logger.warning("%s leaves the bank: %s", names[number], error)
                    failed[number] = error
                if number in failed or training.step == training.steps:
                    waiting.remove(number)
            shown.advance(len(active), note=f"{len(active)} at once, step {step + 1}")
    return failed


def _meet(trainings: Sequence[Training]) -> None:
    """Bring those that a kill left one checkpoint ahead of the others back to where all can go on together.

    Folders get their finished adapters at the very end of a bank, so one without has shared the steps of the
    others up to the kill, even if its own are done.
    """
    unfinished = [one for one in trainings if one.step < one.steps]
    if not unfinished:
        return
    step = min(one.step for one in unfinished)
    for one in trainings:
        if not one.complete and step < one.step <= step + one.recipe.checkpoint_every:
            one.rewind(step)


def _check(members: Sequence[Member]) -> None:
    """Refuse what no bank can be, before any folder is claimed."""
    if not members:
        raise ConfigError("there is nothing to train: a bank has at least one member.")
    for one in members:
        if bank_key(one.recipe) is None:
            raise ConfigError(
                f"{one.name}: its recipe has as_published, and defects of the published code cannot be "
                "reproduced in a bank: train it alone."
            )
    folders = [one.out.resolve() for one in members if one.out is not None]
    for folder in folders:
        if folders.count(folder) > 1:
            raise ConfigError(f"two members of the bank have one folder, {folder}: give each its own.")


def _check_places(members: Sequence[Member], trainings: Sequence[Training]) -> None:
    """Refuse members that do not agree in what a pass is made of."""
    first = trainings[0].recipe
    for member, training in zip(members, trainings, strict=True):
        if not can_share(first, training.recipe):
            keys = zip(KEY_FACTS, bank_key(first) or (), bank_key(training.recipe) or (), strict=True)
            fact, one, other = next(facts for facts in keys if facts[1] != facts[2])
            raise ConfigError(
                f"{members[0].name} and {member.name} cannot share a pass: they differ in {fact} ({one!r} "
                f"and {other!r}). Train them in two banks."
            )


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Put a member's name before what is wrong with it."""
    try:
        yield
    except NarrowsError as error:
        raise type(error)(f"{name}: {error}") from error
