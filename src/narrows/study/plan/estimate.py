"""What a study will take: tokens, time and memory, from the work of its stages and how fast stages were."""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from narrows.study.execution.local import usual_devices
from narrows.study.plan.build import Plan
from narrows.study.plan.stage import Stage, Task
from narrows.study.plan.work import Amount, Subjects, amount
from narrows.study.store import Store
from narrows.training import Recipe
from narrows.training.estimate import estimate as training_estimate
from narrows.training.prepare import anchor_tokens, training_tokens

GIB = 2**30
FEW = 2
"""Finished stages of a kind from which on their own speed counts."""

SHARE_OF_PEAK: Mapping[str, float] = {
    "training": 0.3,
    "answers": 0.11,
    "efficiency": 0.1,
    "stability": 0.17,
    "significance": 0.13,
    "gradients": 0.15,
    "convergence": 0.11,
}
"""Of the machine's measured rate of matrix products, what a kind of stage reaches before any was done: on the
microworld, one thread.
"""

OVERHEAD_SECONDS: Mapping[str, float] = {
    "verdicts": 0.1,
    "choice": 0.1,
    "authors": 45.0,
    "author-direction": 3.0,
    "claims": 2.0,
}
"""What stages take that hardly compute, or only ever on a microworld."""

PROBE = 1024


@dataclass(frozen=True)
class KindEstimate:
    """What is left of a kind of stage: how many, and what they take on one worker."""

    count: int
    tokens: float
    seconds: float


@dataclass(frozen=True)
class Estimate:
    """What is left of a study.

    Attributes:
        kinds: by kind of stage.
        workers: how many do it.
        memory: bytes that one worker needs at most, roughly; 0 if nothing is trained.
        measured: kinds whose speed was seen in finished stages; the others are guessed from a probe.
    """

    kinds: Mapping[str, KindEstimate]
    workers: int
    memory: int
    measured: Sequence[str] = field(default_factory=tuple)

    @property
    def seconds(self) -> float:
        """Wall-clock time with all workers busy."""
        return sum(one.seconds for one in self.kinds.values()) / self.workers

    @property
    def tokens(self) -> float:
        """Tokens read or written."""
        return sum(one.tokens for one in self.kinds.values())

    @property
    def trainings(self) -> int:
        """Trainings that are left."""
        return self.kinds["training"].count if "training" in self.kinds else 0

    def words(self, kind: str) -> str:
        """What is left of a kind, in words; empty if nothing is."""
        one = self.kinds.get(kind)
        return "" if one is None else f"{one.count}, {_duration(one.seconds / self.workers)}"

    def as_values(self) -> dict[str, Any]:
        """The estimate for a program."""
        return {
            "seconds": self.seconds,
            "tokens": self.tokens,
            "trainings": self.trainings,
            "memory": self.memory,
            "workers": self.workers,
            "measured": list(self.measured),
            "kinds": {name: asdict(one) for name, one in self.kinds.items()},
        }

    def __str__(self) -> str:
        if not self.kinds:
            return "Nothing is left to do."
        unseen = [name for name in self.kinds if name not in self.measured]
        basis = "from the speed of finished stages" if not unseen else "roughly, from a probe of this machine"
        return (
            f"Estimate for what is left: {self.trainings} trainings, {self.tokens / 1e6:,.1f} M tokens, "
            f"{_duration(self.seconds)} with {self.workers} worker{'s' * (self.workers > 1)}, at most about "
            f"{self.memory / GIB:.1f} GiB each ({basis})."
        )


def estimate(plan: Plan, left: Sequence[Task], store: Store, workers: int | None = None) -> Estimate:
    """Estimate what the tasks that are left take.

    Speeds are those of the study's own finished stages where there are some of a kind: seconds for each FLOP
    that the work needs. Otherwise a probe of the machine's matrix products is taken, at the shares of it that
    stages reached on the microworld. Nothing is loaded but configs and tokenizers.

    Args:
        plan: of the study.
        left: its tasks that are not finished.
        store: holds the finished stages.
        workers: how many do it (default: as many as there would be).

    Raises:
        ModelError: a model's config cannot be read.
    """
    count = len(usual_devices(workers, None))
    subjects = Subjects(plan.config)

    def of(stage: Stage) -> Amount:
        return amount(stage, subjects.of(stage))

    todo: dict[str, list[Amount]] = defaultdict(list)
    for task in left:
        for stage in task.stages:
            todo[stage.kind].append(of(stage))
    speeds = _seen(plan, store, of, todo)
    rate = _matmul_rate() if any(kind in SHARE_OF_PEAK and kind not in speeds for kind in todo) else 1.0
    kinds = {}
    for kind, amounts in todo.items():
        flops = sum(one.flops for one in amounts)
        seconds = len(amounts) * OVERHEAD_SECONDS.get(kind, 0.0)
        if kind in speeds:
            seconds = flops * speeds[kind]
        elif kind in SHARE_OF_PEAK:
            seconds += flops / (rate * SHARE_OF_PEAK[kind])
        kinds[kind] = KindEstimate(len(amounts), sum(one.tokens for one in amounts), seconds)
    return Estimate(kinds, count, _memory(left, subjects), tuple(speeds))


def _seen(plan: Plan, store: Store, of: Any, kinds: Mapping[str, Any]) -> dict[str, float]:  # noqa: ANN401
    """Seconds for each FLOP by kind, of the stages of the plan that are finished."""
    seconds: dict[str, float] = defaultdict(float)
    flops: dict[str, float] = defaultdict(float)
    seen: dict[str, int] = defaultdict(int)
    for stage in plan.stages.values():
        if stage.kind in kinds and stage.kind in SHARE_OF_PEAK and store.finished(stage.id):
            seconds[stage.kind] += store.facts(stage.id)["seconds"]
            flops[stage.kind] += of(stage).flops
            seen[stage.kind] += 1
    return {kind: seconds[kind] / flops[kind] for kind in seen if seen[kind] >= FEW and flops[kind] > 0}


def _memory(left: Sequence[Task], subjects: Subjects) -> int:
    """Bytes of the largest training or bank: the weights once, the rest for each member."""
    largest = 0
    for task in left:
        stage = task.stages[0]
        if stage.kind != "training":
            continue
        subject = subjects.of(stage)
        shape, material = subject.shape, subject.material
        recipe = Recipe.model_validate(stage.settings["recipe"]).model_copy(update={"steps": 1})
        if stage.settings["kl_weight"] != 0.0:
            recipe = recipe.with_anchor(1.0)
        found = training_estimate(
            recipe,
            training_tokens(shape.renderer, material.behaviour.train[:64], recipe),
            anchor_tokens(shape.renderer, material.behaviour.anchor[:64], recipe) if recipe.anchored else [],
            parameters=shape.parameters,
            itemsize=shape.itemsize,
            layers=shape.layers,
            hidden=shape.hidden,
            vocabulary=shape.vocabulary,
        )
        largest = max(largest, shape.weights + len(task.stages) * (found.activations + found.logits))
    return largest


def _matmul_rate() -> float:
    """FLOPs a second of fp32 matrix products on one thread, or of bf16 ones on a GPU: the best of some."""
    gpu = torch.cuda.is_available()
    device, dtype = ("cuda", torch.bfloat16) if gpu else ("cpu", torch.float32)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        one = torch.ones(PROBE, PROBE, device=device, dtype=dtype)
        best = 0.0
        for _ in range(4):
            started = time.perf_counter()
            (one @ one).sum().item()
            best = max(best, 2 * PROBE**3 / (time.perf_counter() - started))
        return best
    finally:
        torch.set_num_threads(threads)


def _duration(seconds: float) -> str:
    """A time as people say it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"
