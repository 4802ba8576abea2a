"""Doing a task: its stages, logged, timed, and published."""

import logging
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from narrows.models.allocation import most_held
from narrows.study import summarising
from narrows.study.plan.stage import Kind, Stage, Task
from narrows.study.stages.asking import answer, judge
from narrows.study.stages.bench import Bench, Done
from narrows.study.stages.choosing import choose
from narrows.study.stages.converging import converge
from narrows.study.stages.deciding import decide
from narrows.study.stages.measuring import (
    follow_gradients,
    measure_efficiency,
    measure_significance,
    measure_stability,
)
from narrows.study.stages.pretraining import pretrain_world
from narrows.study.stages.seeking import seek_authors, seek_direction
from narrows.study.stages.training import train_stages

DOING: dict[Kind, Callable[[Stage, Bench], Done]] = {
    "pretraining": pretrain_world,
    "answers": answer,
    "verdicts": judge,
    "choice": choose,
    "efficiency": measure_efficiency,
    "stability": measure_stability,
    "significance": measure_significance,
    "gradients": follow_gradients,
    "convergence": converge,
    "authors": seek_authors,
    "author-direction": seek_direction,
    "claims": decide,
}
"""All kinds but trainings, of which several may be done at once."""


def do(task: Task, bench: Bench) -> bool:
    """Do what is not finished of a task, and publish it.

    Returns:
        False if another process is doing it now.

    Raises:
        Whatever a stage raises; the task's log then holds the traceback.
    """
    store = bench.store
    with store.claimed(*(stage.id for stage in task.stages)) as mine:
        if not mine:
            return False
        todo = [stage for stage in task.stages if not store.finished(stage.id)]
        if not todo:
            return True
        for stage in todo:
            store.note("started", stage.id, task=task.id)
            store.work(stage.id).mkdir(parents=True, exist_ok=True)
        with _logged(store.log(task.id)):
            logging.getLogger("narrows").info("begun: %s", task.title)
            try:
                for stage, done, seconds in _results(todo, bench):
                    store.publish(stage, _facts(done, bench, seconds, task))
                    store.note("finished", stage.id, task=task.id)
            except BaseException as error:
                event = "failed" if isinstance(error, Exception) else "stopped"
                with suppress(OSError):  # a full disk must not hide what went wrong
                    for stage in todo:
                        if not store.finished(stage.id):
                            store.note(event, stage.id, task=task.id, error=type(error).__name__)
                raise
    return True


def _results(todo: Sequence[Stage], bench: Bench) -> Iterator[tuple[Stage, Done, float]]:
    """Do stages; gives each as soon as it is done, with its seconds."""
    if todo[0].kind == "training":
        yield from train_stages(todo, bench)
        return
    for stage in todo:
        started = time.perf_counter()
        done = DOING[stage.kind](stage, bench)
        yield stage, done, time.perf_counter() - started


def _facts(done: Done, bench: Bench, seconds: float, task: Task) -> dict[str, object]:
    """What a stage took."""
    device = bench.used_device
    return {
        "seconds": round(seconds, 3),
        "tokens": done.tokens,
        "trainings": done.trainings,
        "peak_memory": _peak_memory(device),
        "device": _device_name(device),
        "threads": torch.get_num_threads(),
        "task": task.id,
        "versions": summarising.versions(),
    }


def _on_gpu(device: torch.device | None) -> bool:
    return device is not None and device.type == "cuda"


def _peak_memory(device: torch.device | None) -> int | None:
    """Bytes: the most that the GPU held since it was last asked, or that this process ever had."""
    return int(torch.cuda.max_memory_allocated(device)) if _on_gpu(device) else most_held()


def _device_name(device: torch.device | None) -> str:
    if _on_gpu(device):
        return torch.cuda.get_device_name(device)
    return platform.processor() or platform.machine()


@contextmanager
def _logged(path: Path) -> Iterator[None]:
    """Everything that the package logs, the traceback of an error too, also goes to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("narrows")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if before == logging.NOTSET else min(before, logging.INFO))
    try:
        yield
    except BaseException:
        handler.handle(
            logger.makeRecord(logger.name, logging.ERROR, __file__, 0, "failed", (), sys.exc_info())
        )
        raise
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
        handler.close()
