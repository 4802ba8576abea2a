"""Gradients: where the loss pulls an adapter along its training, held against solutions (paper §5; C8)."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import stdtrit
from torch import Tensor

from narrows.adapters import Adapter, LoRA, SteeringVector
from narrows.chat import Conversation
from narrows.errors import AdapterError, ConfigError, DataError, TrainingError
from narrows.models import ChatModel
from narrows.progress import bar
from narrows.statistics import MeanInterval, mean_interval
from narrows.training import Recipe, RowOrder
from narrows.training.prepare import anchor_rows, training_rows
from narrows.training.window import Window

logger = logging.getLogger(__name__)

Floats = NDArray[np.float64]

EVERY = 20
"""The paper's steps between two gradients."""

SAME_FRAME = 0.5
"""Cosine of two A below which their B hardly mean the same."""


@dataclass(frozen=True)
class GradientSample:
    """Where gradients are taken, and on how many rows.

    Attributes:
        every: steps between two checkpoints at which they are taken, at least.
        groups: disjoint groups of training rows; each gives a gradient of its own.
        rows: rows of a group (16 are the paper's step).
        seed: draws the groups.

    Raises:
        ConfigError: a number is below what it must be.
    """

    every: int = EVERY
    groups: int = 8
    rows: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        if self.every < 1 or self.rows < 1 or self.groups < 2:
            raise ConfigError(
                f"every {self.every}, groups {self.groups}, rows {self.rows}: every and rows must be at "
                "least 1, and an interval needs at least 2 groups."
            )

    def steps(self, checkpoints: Mapping[int, Adapter]) -> list[int]:
        """The checkpoints' steps that are read: the first, and each that is ``every`` steps after the last
        one read.
        """
        chosen: list[int] = []
        for step in sorted(checkpoints):
            if not chosen or step >= chosen[-1] + self.every:
                chosen.append(step)
        return chosen


@dataclass(frozen=True)
class GradientCosines:
    """Cosines of the descent direction −∇L with some solutions, by checkpoint; the units are row groups.

    Attributes:
        steps: the checkpoints.
        cosines: by solution, (steps, groups).
        norms: ‖∇L‖ in the coordinates that are compared, (steps, groups).
        resultant: the norm of the mean of all unit descent directions: the largest mean cosine that any
            direction could have.
        dimensions: how many coordinates are compared.
        frames: for LoRAs, by solution: the cosine of its A with the A of the run's last checkpoint read.
    """

    steps: list[int]
    cosines: dict[str, Floats]
    norms: Floats
    resultant: float
    dimensions: int
    frames: dict[str, float] = field(default_factory=dict)

    def by_group(self, name: str) -> Floats:
        """Each group's cosine with a solution, averaged over training, (groups,)."""
        means: Floats = self.cosines[name].mean(axis=0)
        return means

    def mean(self, name: str) -> MeanInterval:
        """The cosine with a solution, averaged over training; t-interval over row groups."""
        return mean_interval(self.by_group(name))

    def difference(self, name: str, other: str) -> MeanInterval:
        """The cosine with one solution minus that with another, averaged over training, paired by group."""
        return mean_interval(self.by_group(name) - self.by_group(other))

    def at_steps(self, name: str) -> list[MeanInterval]:
        """The cosine with a solution at each checkpoint; t-interval over row groups."""
        return [mean_interval(row) for row in self.cosines[name]]

    def random_band(self, confidence: float = 0.95) -> float:
        """Half the width of the band, around 0, of a random direction's cosine averaged over training.

        That average is the direction's product with the mean unit descent direction. So for a direction that
        is uniform on the sphere of n dimensions it is :attr:`resultant` · c, where c √(n−1) / √(1−c²) is
        Student's t of n − 1 degrees of freedom: the band is exact, and nothing has to be drawn.
        """
        t = float(stdtrit(self.dimensions - 1, (1 + confidence) / 2))
        return self.resultant * t / math.sqrt(self.dimensions - 1 + t * t)


def gradient_cosines(
    chat_model: ChatModel,
    checkpoints: Mapping[int, Adapter],
    rows: Sequence[Conversation],
    recipe: Recipe,
    ends: Mapping[str, Adapter],
    *,
    anchor: Sequence[Conversation | str] = (),
    kl_weight: float = 0.0,
    sample: GradientSample | None = None,
) -> GradientCosines:
    """Follow a training run: the cosine of −∇L with each end, at its checkpoints, on groups of rows.

    The loss is the one that was trained, L_SFT + ``kl_weight`` · L_KL over a group's rows, and its gradient
    is taken in what acts of a steering vector, ∂L/∂(αv), or in a LoRA's B, ∂L/∂B, all modules' B laid end to
    end. It is held against α·v, or B, of each end. The minus is there so that a positive cosine says: a small
    step down the loss goes towards that end.

    B only means something beside its A: (A, B) and (−A, −B) are one LoRA. Give ends that were trained from
    the run's own first A (``train(…, start=run.trajectory[0])``).

    Args:
        chat_model: the model.
        checkpoints: of the run, by step.
        rows: its training rows.
        recipe: its recipe; says how rows are rendered, and what one pass holds.
        ends: solutions by name, of the run's kind and at its place.
        anchor: anchor rows, for the KL.
        kl_weight: λ; 0 leaves the KL out.
        sample: where, and on how many rows (default: every 20 steps, 8 groups of 16 rows).

    Raises:
        AdapterError: an end or a checkpoint is of another kind, place or size; an end is zero.
        DataError: there are too few rows for disjoint groups, or no anchor rows for the KL.
        TrainingError: a gradient is not finite.
    """
    sample = sample or GradientSample()
    if not checkpoints or not ends:
        raise AdapterError(f"there are {len(checkpoints)} checkpoints and {len(ends)} ends to compare.")
    steps = sample.steps(checkpoints)
    for name, end in ends.items():
        _check_end(name, end, checkpoints[steps[-1]])
    loss = recipe.with_anchor(kl_weight, from_step=0, until_step=None)
    window = _window(chat_model, loss, sample, rows=rows, anchor=anchor, depth=checkpoints[steps[0]].depth)
    units = torch.stack([_unit(_point(end)) for end in ends.values()])  # (ends, n)
    cosines = np.zeros((len(ends), len(steps), sample.groups))
    norms = np.zeros((len(steps), sample.groups))
    total = torch.zeros_like(units[0])
    with bar("gradients", norms.size) as shown:
        for place, step in enumerate(steps):
            adapter = _trainable(checkpoints[step], chat_model)
            for group in range(sample.groups):
                descent = -_gradient(window, adapter, group)
                if not torch.isfinite(descent).all():
                    raise TrainingError(
                        f"the gradient at step {step} is not finite: {window.sources(group)}."
                    )
                norms[place, group] = float(descent.norm())
                unit = _unit(descent)
                cosines[:, place, group] = (units @ unit).numpy()
                total += unit
                shown.advance()
    frames = {name: _frame(end, checkpoints[steps[-1]]) for name, end in ends.items()}
    return GradientCosines(
        steps=steps,
        cosines=dict(zip(ends, cosines, strict=True)),
        norms=norms,
        resultant=float(total.norm()) / norms.size,
        dimensions=len(total),
        frames={name: frame for name, frame in frames.items() if frame is not None},
    )


def _window(
    chat_model: ChatModel,
    recipe: Recipe,
    sample: GradientSample,
    *,
    rows: Sequence[Conversation],
    anchor: Sequence[Conversation | str],
    depth: int,
) -> Window:
    """The run's loss, with a group of rows in the place of a step's rows.

    The windows of one epoch are disjoint and in random order, which is what the groups have to be. Only the
    window's means count, so a pass holds as many rows as fit the recipe.

    Raises:
        DataError: there are too few rows, or no anchor rows.
    """
    one_pass = math.gcd(sample.rows, recipe.batch_size)
    recipe = recipe.model_copy(
        update={"batch_size": one_pass, "accumulation": sample.rows // one_pass, "seed": sample.seed}
    )
    if len(rows) < sample.groups * sample.rows:
        raise DataError(
            f"{sample.groups} disjoint groups of {sample.rows} rows need {sample.groups * sample.rows} "
            f"training rows; there are {len(rows)}. Take fewer or smaller groups."
        )
    drawn = RowOrder(recipe, len(rows), len(anchor) if recipe.anchored else 0)
    groups = range(sample.groups)
    chosen = training_rows(chat_model, [rows[i] for g in groups for i in drawn.training_rows(g)], recipe)
    anchored = anchor_rows(chat_model, [anchor[i] for g in groups for i in drawn.anchor_rows(g)], recipe)
    order = _OneAfterAnother(recipe, len(chosen), len(anchored))
    return Window(chat_model, recipe, order, rows=chosen, anchor=anchored, depth=depth)


class _OneAfterAnother(RowOrder):
    """Groups of rows as they lie: only the rows that are used are rendered, and run up to the adapter."""

    def training_rows(self, step: int) -> list[int]:
        """The rows of a group."""
        return list(range(step * self._window, (step + 1) * self._window))

    def anchor_rows(self, step: int) -> list[int]:
        """The anchor rows of a group."""
        return list(range(step * self._anchor_window, (step + 1) * self._anchor_window))


def _check_end(name: str, end: Adapter, run: Adapter) -> None:
    """Refuse an end whose coordinates are not the run's."""
    if end.kind != run.kind:
        raise AdapterError(f"{name!r} is of kind {end.kind} and the run trains one of kind {run.kind}.")
    run.cosine(end)  # refuses other places and widths
    if end.rank != run.rank:
        raise AdapterError(
            f"{name!r} has rank {end.rank} and the run rank {run.rank}: their B cannot be compared."
        )
    if end.norm == 0:
        raise AdapterError(f"{name!r} changes nothing and has no direction.")
    frame = _frame(end, run)
    if frame is not None and abs(frame) < SAME_FRAME:
        logger.warning(
            "%s: the cosine of its A with the run's is %.2f, so a cosine of their B says little. Train it "
            "from the run's own first A (start=run.trajectory[0]).",
            name,
            frame,
        )


def _trainable(checkpoint: Adapter, chat_model: ChatModel) -> Adapter:
    """A copy of a checkpoint, beside what it changes, with gradient."""
    adapter = checkpoint.copy().placed(chat_model.model)
    for parameter in adapter.parameters():
        parameter.requires_grad_()
    return adapter


def _gradient(window: Window, adapter: Adapter, group: int) -> Tensor:
    """∂L/∂(αv) or ∂L/∂B of a group's loss, (n,), fp64 on the CPU."""
    for parameter in adapter.parameters():
        parameter.grad = None
    window.backward(adapter, group)
    found = {name: tensor.grad for name, tensor in adapter.tensors().items() if tensor.grad is not None}
    alpha = adapter.alpha if isinstance(adapter, SteeringVector) else 1.0
    return _flat(found) / alpha


def _point(adapter: Adapter) -> Tensor:
    """What a gradient is held against: α·v, or all B end to end, (n,), fp64 on the CPU."""
    if isinstance(adapter, SteeringVector):
        return adapter.coordinates()
    return _flat({name: tensor.detach() for name, tensor in adapter.tensors().items()})


def _flat(tensors: Mapping[str, Tensor]) -> Tensor:
    """v, or all B end to end, (n,), fp64 on the CPU."""
    chosen = [tensor for name, tensor in tensors.items() if not name.endswith(".lora_A")]
    return torch.cat([tensor.to("cpu", torch.float64).flatten() for tensor in chosen])


def _unit(point: Tensor) -> Tensor:
    """The direction of a point; a gradient of exactly 0 has none and stays 0."""
    norm = point.norm()
    return point / norm if norm > 0 else point


def _frame(one: Adapter, other: Adapter) -> float | None:
    """The cosine of two LoRAs' A, all modules' end to end; None for vectors."""
    if not (isinstance(one, LoRA) and isinstance(other, LoRA)):
        return None
    left, right = (
        _unit(torch.cat([a.detach().to("cpu", torch.float64).flatten() for a, _ in lora.factors.values()]))
        for lora in (one, other)
    )
    return float(left @ right)
