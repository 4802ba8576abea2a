"""Workers on this machine: processes that keep their models loaded, one for each device or share of cores."""

import logging
import os
import pickle
import signal
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TypeAlias

from narrows.errors import ConfigError, NarrowsError
from narrows.forking import alive, uninterrupted, worker_context
from narrows.models.allocation import keep_memory
from narrows.strict import one_line
from narrows.study.config import StudyConfig
from narrows.study.plan.stage import Task
from narrows.study.stages.bench import Bench
from narrows.study.stages.doing import do
from narrows.study.store import Store
from narrows.study.store_shared import open_store

WATCH_SECONDS = 0.5
PATIENCE_SECONDS = 5.0
"""How long a worker may take to end when it is told to."""

_bench: Bench | None = None


class Inline:
    """One worker: this process itself, so that its progress bars are seen.

    Args:
        bench: where stages are done.
    """

    count = 1

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def submit(self, task: Task) -> "Future[bool]":
        """Do a task now."""
        future: Future[bool] = Future()
        try:
            future.set_result(do(task, self._bench))
        except Exception as error:  # noqa: BLE001  (a stage may raise what it likes: it is reported)
            future.set_exception(error)
        return future

    def close(self) -> None:
        """Nothing to let go."""


class Processes:
    """Several workers, each a process of its own: one that dies takes only its task with it.

    Args:
        config: the study.
        root: the store's folder.
        devices: one for each worker; None is a CPU.
        threads: of each worker on a CPU.
    """

    def __init__(
        self, config: StudyConfig, root: Path, devices: Sequence[str | None], threads: int | None = None
    ) -> None:
        self._facts: list[_Facts] = [
            (config.model_dump(mode="json"), str(root), device, threads) for device in devices
        ]
        self._pools = [_pool(facts) for facts in self._facts]
        self._free = list(range(len(devices)))
        self._lock = threading.Lock()

    @property
    def count(self) -> int:
        """How many workers there are."""
        return len(self._pools)

    def submit(self, task: Task) -> "Future[bool]":
        """Give a task to a worker that is free."""
        with self._lock:
            place = self._free.pop(0)
        future: Future[bool] = Future()
        with uninterrupted():  # until the pool knows its process, and so can stop it
            try:
                inner = self._pools[place].submit(_do, task)
            except BrokenProcessPool:  # it died while it had nothing to do
                self._pools[place] = _pool(self._facts[place])
                inner = self._pools[place].submit(_do, task)
        inner.add_done_callback(lambda done: self._ended(place, task, done, future))
        return future

    def _ended(self, place: int, task: Task, inner: "Future[bool]", future: "Future[bool]") -> None:
        """Hand a result on, and put a new process in the place of one that died."""
        error = inner.exception()
        if isinstance(error, BrokenProcessPool):
            self._pools[place] = _pool(self._facts[place])
            error = NarrowsError(
                f"the worker's process died while it did {task.title}: killed, or out of memory. Run the "
                "study again: finished stages stay, and this one goes on where it was."
            )
        with self._lock:
            self._free.append(place)
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(inner.result())

    def close(self) -> None:
        """Stop all workers, whatever they do."""
        processes = [
            process for pool in self._pools for process in (getattr(pool, "_processes", None) or {}).values()
        ]
        for process in processes:  # all are told before any is waited for
            process.terminate()
        for process in processes:
            process.join(PATIENCE_SECONDS)
            process.kill()
        # Waited for: a pool whose thread is still ending when Python does leaves a traceback behind.
        for pool in list(self._pools):
            pool.shutdown(wait=True, cancel_futures=True)


def local_workers(
    config: StudyConfig, store: Store, workers: int | None = None, device: str | None = None
) -> "Inline | Processes":
    """The workers of this machine: a single one is this process itself.

    On a CPU the cores are shared out among the workers; a small model gains more from several stages at once
    than from several cores in one.

    Raises:
        ConfigError: the number is below 1.
    """
    devices = usual_devices(workers, device)
    if len(devices) == 1:
        return Inline(Bench(config, store, devices[0]))
    on_cpu = devices[0] is None or devices[0] == "cpu"
    threads = max(1, cores() // len(devices)) if on_cpu else None
    return Processes(config, store.root, devices, threads)


def usual_devices(workers: int | None, device: str | None) -> list[str | None]:
    """A worker for each GPU, or on a CPU one for each core, as far as no number is given.

    Raises:
        ConfigError: the number is below 1.
    """
    import torch

    if workers is not None and workers < 1:
        raise ConfigError(f"workers is {workers}; it must be at least 1.")
    if device is not None:
        return [device] * (workers or 1)
    gpus = torch.cuda.device_count()
    if gpus:
        count = workers or gpus
        return [f"cuda:{place % gpus}" for place in range(count)]
    return [None] * (workers or cores())


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_Facts: TypeAlias = tuple[dict[str, object], str, str | None, int | None]
"""Of a worker: the study, the store's folder, the device, the threads."""


def _pool(facts: _Facts) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(
        1,
        mp_context=worker_context(),
        initializer=_begin,
        initargs=(facts, os.getpid(), dict(os.environ)),
    )


def _begin(facts: _Facts, study_process: int, environment: dict[str, str]) -> None:
    """Make a worker's bench; the worker ends when its study does, even by a kill."""
    global _bench  # noqa: PLW0603  (a worker's process has one bench)
    os.environ.clear()  # the process that it was forked from may be older than what was set since
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the study's to answer
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # what a library put there might take its time
    threading.Thread(target=_end_with, args=(study_process, os.getppid()), daemon=True).start()
    import torch

    config, root, device, threads = facts
    keep_memory()
    if threads is not None:
        torch.set_num_threads(threads)
    logging.getLogger("narrows").setLevel(logging.INFO)
    study = StudyConfig.model_validate(config)
    store: Store = open_store(root, study.store)
    _bench = Bench(study, store, device)


def _end_with(study_process: int, parent: int) -> None:
    """End this process soon after the study's did, or the one that it was forked from."""
    while os.getppid() == parent and alive(study_process):
        time.sleep(WATCH_SECONDS)
    os._exit(1)


def _do(task: Task) -> bool:
    """Do a task in a worker.

    Raises:
        Exception: the stage's own, if it can be sent to another process, else a NarrowsError that says the
            same: one that could not be read there would look like the worker's death.
    """
    if _bench is None:
        raise NarrowsError("the worker was not begun.")
    try:
        return do(task, _bench)
    except Exception as error:
        try:
            pickle.loads(pickle.dumps(error))  # noqa: S301  (our own, of this moment)
        except Exception:  # noqa: BLE001  (whatever its class does)
            raise NarrowsError(f"{type(error).__name__}: {one_line(error)}") from None
        raise
