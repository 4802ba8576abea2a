"""What a process of Ray's does on its machine: a task, with models that stay loaded for the next."""

import logging
import pickle
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from narrows.errors import NarrowsError, RunFolderError
from narrows.files import RUN_FILE, digest
from narrows.strict import one_line
from narrows.study.config import StudyConfig
from narrows.study.plan.stage import Stage, Task
from narrows.study.stages.bench import Bench
from narrows.study.stages.doing import do
from narrows.study.store import Store
from narrows.study.store_shared import open_store

SEEN_SECONDS = 90.0
"""How long a result may take to be seen by another machine: network disks keep listings for a minute."""

_bench: tuple[str, Bench] | None = None


def seen(store: Store, stage_ids: Sequence[str], seconds: float, stop: threading.Event) -> bool:
    """Whether results of another machine are to be seen here, within some seconds."""
    until = time.monotonic() + seconds
    while not all(map(store.finished, stage_ids)):
        if stop.is_set() or time.monotonic() > until:
            return False
        store.refresh()
        stop.wait(0.2)
    return True


def do_here(job: Mapping[str, Any], stages: Sequence[Mapping[str, Any]]) -> bool:
    """Do a task in a process of Ray's: on another machine, with that machine's files.

    Args:
        job: the study and where its results are, as JSON can hold it.
        stages: of the task.

    Returns:
        False if another process is doing it now.

    Raises:
        NarrowsError: this machine has another version of narrows, or does not see the study's folder.
        Whatever a stage raises.
    """
    task = Task(tuple(map(Stage.from_json, stages)))
    bench = _bench_of(job)
    store = bench.store
    if not seen(store, sorted(task.needs), SEEN_SECONDS, threading.Event()):
        raise RunFolderError(
            f"{socket.gethostname()} does not see all results that {task.title} needs at "
            f"{store.shared or store.root}. All machines must share that folder under this path."
        )
    try:
        return do(task, bench)
    except Exception as error:
        if not _can_travel(error):
            raise NarrowsError(f"{type(error).__name__}: {one_line(error)}") from None
        raise
    finally:
        store.share_log(task.id)


def _can_travel(error: Exception) -> bool:
    """Whether an error can be read again on another machine; one that cannot would look like a death here."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301  (our own, of this moment)
    except Exception:  # noqa: BLE001  (whatever its class does)
        return False
    return True


def _bench_of(job: Mapping[str, Any]) -> Bench:
    """This process's bench, with the models that earlier tasks of the study have loaded."""
    global _bench  # noqa: PLW0603  (a process has one bench)
    import torch

    host = socket.gethostname()
    if job["version"] != version("narrows"):
        raise NarrowsError(
            f"{host} has narrows {version('narrows')}, and the study is run by {job['version']}: install "
            "the same version on all machines."
        )
    torch.set_num_threads(max(1, int(job["cpus"])))
    key = digest({name: job[name] for name in ("config", "root", "shared", "gpus")})
    if _bench is None or _bench[0] != key:
        logging.getLogger("narrows").setLevel(logging.INFO)
        store = open_store(job["root"], job["shared"])
        if "://" not in (job["shared"] or "") and not (store.root / RUN_FILE).is_file():
            raise RunFolderError(
                f"{host} does not see the study's folder {store.root}. All machines must share it under this "
                "path (a network disk); or give `store` a URL such as s3://bucket/path."
            )
        # Ray shows a process the GPUs that it may use, and, if it may use none, all of them.
        device = None if job["gpus"] else "cpu"
        _bench = key, Bench(StudyConfig.model_validate(job["config"]), store, device)
    return _bench[1]
