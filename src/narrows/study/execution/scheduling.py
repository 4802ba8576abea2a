"""The order of tasks: what is ready is given to workers, and what fails holds up only what needs it."""

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Protocol

from narrows.progress import bar
from narrows.strict import one_line
from narrows.study.plan.stage import Task
from narrows.study.plan.tasks import steps_ahead
from narrows.study.store import Store

POLL_SECONDS = 0.5
"""How often results are looked for that another process is making."""


class Workers(Protocol):
    """Those who do tasks."""

    @property
    def count(self) -> int:
        """How many tasks are under way at once, at most."""

    def submit(self, task: Task) -> "Future[bool]":
        """Begin a task; the future's result is False where another process is doing it."""

    def close(self) -> None:
        """Let all of them go; what is under way is stopped."""


@dataclass(frozen=True)
class Failure:
    """A task that failed.

    Attributes:
        task: the task.
        error: what it raised, on one line.
    """

    task: Task
    error: str


@dataclass
class Outcome:
    """How a study went.

    Attributes:
        done: stages that were done now.
        failures: tasks that failed.
        blocked: tasks that were never begun, since they need one that failed.
    """

    done: int = 0
    failures: list[Failure] = field(default_factory=list)
    blocked: list[Task] = field(default_factory=list)


def schedule(tasks: Sequence[Task], workers: Workers, store: Store) -> Outcome:
    """Do all tasks that can be done, each when what it needs is there; first what most training hangs on.

    Args:
        tasks: each after those that it needs.
        workers: who does them; closed by the caller.
        store: where results appear.
    """
    waiting, ahead = list(tasks), steps_ahead(tasks)
    running: dict[Future[bool], Task] = {}
    elsewhere: list[Task] = []
    outcome = Outcome()
    failed: set[str] = set()
    with bar("stages", sum(len(task.stages) for task in tasks)) as shown, ExitStack() as lines:
        titles: dict[str, ExitStack] = {}
        while waiting or running or elsewhere:
            elsewhere = _looked_at(elsewhere, waiting, store, shown.advance)
            waiting, ready = _ready(waiting, failed, outcome, store, shown.advance)
            ready.sort(key=lambda task: -ahead[task.id])
            free = max(0, workers.count - len(running))  # a cluster may have lost machines
            waiting = ready[free:] + waiting
            for task in ready[:free]:
                running[workers.submit(task)] = task
                titles[task.id] = lines.enter_context(ExitStack())
                titles[task.id].enter_context(bar(f"  {task.title}"))
            if not running and not elsewhere and waiting and not ready:
                outcome.blocked += waiting  # nothing is left that could free them
                break
            if not running:
                time.sleep(POLL_SECONDS)  # waiting for no future ends at once
            ended, _ = wait(running, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
            for future in ended:
                task = running.pop(future)
                titles.pop(task.id).close()
                error = future.exception()
                if error is not None:
                    outcome.failures.append(Failure(task, one_line(f"{type(error).__name__}: {error}")))
                    left = {one.id for one in task.stages if not store.finished(one.id)}
                    failed |= left
                    outcome.done += len(task.stages) - len(left)
                elif future.result():
                    outcome.done += len(task.stages)
                    shown.advance(len(task.stages))
                else:
                    elsewhere.append(task)
    return outcome


def _ready(
    waiting: Iterable[Task],
    failed: set[str],
    outcome: Outcome,
    store: Store,
    advance: Callable[[int], None],
) -> tuple[list[Task], list[Task]]:
    """Tasks that still wait, and those that can be begun.

    What needs a failed one is blocked; what another process has finished in the meantime is left out.
    """
    still, ready = [], []
    for task in waiting:
        if task.needs & failed:
            outcome.blocked.append(task)
            failed |= {one.id for one in task.stages}
        elif all(map(store.finished, task.needs)):
            if all(store.finished(one.id) for one in task.stages):
                advance(len(task.stages))
            else:
                ready.append(task)
        else:
            still.append(task)
    return still, ready


def _looked_at(
    elsewhere: Iterable[Task], waiting: list[Task], store: Store, advance: Callable[[int], None]
) -> list[Task]:
    """Tasks that another process still does; those that it gave up go back among the waiting."""
    still = []
    for task in elsewhere:
        if all(store.finished(one.id) for one in task.stages):
            advance(len(task.stages))
        elif store.running(*(one.id for one in task.stages)):
            still.append(task)
        else:
            waiting.append(task)
    return still
