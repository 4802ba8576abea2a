"""Doing a task: its stages, logged, timed, and published."""

import logging
import platform
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from narrows.study import summarising
from narrows.study.plan.stage import Kind, Stage, Task
from narrows.study.stages.asking import answer, judge
from narrows.study.stages.bench import Bench, Done, peak_memory
from narrows.study.stages.choosing import choose
from narrows.study.stages.converging import converge
from narrows.study.stages.deciding import decide
from narrows.study.stages.measuring import (
    follow_gradients,
    measure_efficiency,
    measure_significance,
    measure_stability,
)
from narrows.study.stages.training import train_stages

DOING: dict[Kind, Callable[[Stage, Bench], Done]] = {
    "answers": answer,
    "verdicts": judge,
    "choice": choose,
    "efficiency": measure_efficiency,
    "stability": measure_stability,
    "significance": measure_significance,
    "gradients": follow_gradients,
    "convergence": converge,
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
            started = time.perf_counter()
            try:
                done = (
                    train_stages(todo, bench)
                    if task.stages[0].kind == "training"
                    else [DOING[stage.kind](stage, bench) for stage in todo]
                )
            except BaseException as error:
                for stage in todo:
                    store.note("failed", stage.id, task=task.id, error=type(error).__name__)
                raise
            seconds = (time.perf_counter() - started) / len(todo)
        for stage, one in zip(todo, done, strict=True):
            store.publish(stage, _facts(one, bench, seconds, task))
            store.note("finished", stage.id, task=task.id)
    return True


def _facts(done: Done, bench: Bench, seconds: float, task: Task) -> dict[str, object]:
    """What a stage took; of a bank each training has an equal share of the time."""
    device = bench.used_device
    return {
        "seconds": round(seconds, 3),
        "tokens": done.tokens,
        "trainings": done.trainings,
        "peak_memory": peak_memory(device),
        "device": _device_name(device),
        "threads": torch.get_num_threads(),
        "task": task.id,
        "versions": summarising.versions(),
    }


def _device_name(device: torch.device | None) -> str:
    if device is not None and device.type == "cuda":
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
    logger.setLevel(logging.DEBUG if before == logging.NOTSET else before)
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
