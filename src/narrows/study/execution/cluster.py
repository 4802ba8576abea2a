"""Workers of a Ray cluster: each task of a study is a task of Ray's, on whichever machine has room for it."""

import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from importlib.metadata import version
from typing import Any

from narrows.errors import ConfigError, NarrowsError, RunFolderError
from narrows.strict import one_line
from narrows.study.config import Resources, StudyConfig
from narrows.study.execution.joining import LOCAL, connect, quiet_output, ray_package
from narrows.study.execution.remote import SEEN_SECONDS, do_here, seen
from narrows.study.plan.stage import Task
from narrows.study.store import Store

RETRIES = 3
"""How often a task is begun again whose process or machine died under it."""

CANCEL_SECONDS = 2.0

LIGHT = frozenset({"choice", "claims"})
"""Kinds of stages that run no model."""

LOCAL_JUDGES = ("hf/", "llama-cpp-python/", "narrows/", "sglang/", "vllm/")
"""Providers whose judges run where they are asked."""


def joined(address: str, config: StudyConfig, store: Store, *, cpus: int | None = None) -> "Cluster":
    """The workers of a Ray cluster; as :class:`Cluster`, the address first."""
    return Cluster(config, store, address, cpus=cpus)


class Cluster:
    """The machines of a Ray cluster as workers.

    A task asks for the study's ``resources``. One whose process or machine dies is begun again elsewhere; one
    that fails is not. On CPUs Ray's processes are used again and keep their models loaded; a process with a
    GPU ends with its task, so that the GPU is free when Ray says so.

    Args:
        config: the study.
        store: its results; every machine must see them (a folder under the same path everywhere, or a URL).
        address: ``local``, ``auto`` (the cluster that this machine is part of), ``HOST:PORT``, or ``ray://…``.
        cpus: how many cores a cluster of this machine alone may use (default: all).

    Raises:
        ConfigError: Ray is not installed, there is no cluster at the address, or no machine of it has what a
            stage asks for.
    """

    def __init__(
        self, config: StudyConfig, store: Store, address: str = LOCAL, *, cpus: int | None = None
    ) -> None:
        self._store, self._wanted = store, config.resources
        self._mine = connect(address, cpus=cpus)
        self._quiet = ExitStack()
        self._quiet.enter_context(quiet_output())
        self._ray = ray_package()
        self._job = {
            "config": config.model_dump(mode="json"),
            "root": str(store.root),
            "shared": store.shared,
            "version": version("narrows"),
        }
        self._light = LIGHT if _judges_here(config) else LIGHT | {"verdicts"}
        self._under_way: dict[Future[bool], Any] = {}
        self._closed = threading.Event()
        self._functions: dict[float, Any] = {}
        if not self.count:
            machines = [_described(node) for node in self._ray.nodes() if node["Alive"]]
            self.close()
            raise ConfigError(
                f"a stage asks for {_asked(self._wanted)}, which no machine of the cluster has "
                f"({'; '.join(machines)}). Set resources in the study file, or add a machine."
            )

    @property
    def count(self) -> int:
        """How many stages the machines that are alive now can do at once."""
        return capacity(self._ray.nodes(), self._wanted)

    def submit(self, task: Task) -> "Future[bool]":
        """Give a task to the cluster."""
        future: Future[bool] = Future()
        wanted = Resources(cpus=min(1, self._wanted.cpus)) if self._is_light(task) else self._wanted
        stages = [stage.as_json() for stage in task.stages]
        job = {**self._job, "cpus": wanted.cpus, "gpus": wanted.gpus}
        begun = (
            self._function(wanted.gpus)
            .options(
                name=task.title,
                num_cpus=wanted.cpus,
                num_gpus=wanted.gpus,
                memory=None if wanted.memory_gib is None else int(wanted.memory_gib * 2**30),
                max_retries=RETRIES,
            )
            .remote(job, stages)
        )
        self._under_way[future] = begun
        begun.future().add_done_callback(lambda inner: self._ended(task, inner, future))
        return future

    def close(self) -> None:
        """Stop what is under way, and leave the cluster; one that was begun for this study ends."""
        self._closed.set()
        left = list(self._under_way.values())
        for begun in left:
            with suppress(Exception):  # it may have ended this moment
                self._ray.cancel(begun, force=True)
        if left:
            with suppress(Exception):
                self._ray.wait(left, num_returns=len(left), timeout=CANCEL_SECONDS)
        if self._mine:
            self._ray.shutdown()
        self._quiet.close()

    def _is_light(self, task: Task) -> bool:
        return all(stage.kind in self._light for stage in task.stages)

    def _function(self, gpus: float) -> Any:  # noqa: ANN401  (Ray's own type)
        """The task of Ray's; the number of GPUs decides whether its processes are used again."""
        if gpus not in self._functions:
            self._functions[gpus] = self._ray.remote(max_calls=1 if gpus else 0)(do_here)
        return self._functions[gpus]

    def _ended(self, task: Task, inner: "Future[bool]", future: "Future[bool]") -> None:
        """Hand a result on; on a thread of its own, since Ray's must not wait."""
        self._under_way.pop(future, None)
        threading.Thread(target=self._hand_on, args=(task, inner, future), daemon=True).start()

    def _hand_on(self, task: Task, inner: "Future[bool]", future: "Future[bool]") -> None:
        error = _cause(inner.exception(), task)
        if error is None and inner.result():
            ids = [stage.id for stage in task.stages]
            if not seen(self._store, ids, SEEN_SECONDS, self._closed):
                error = RunFolderError(
                    f"{task.title} was finished on another machine, and its result is not to be seen at "
                    f"{self._store.shared or self._store.root} here. All machines must share that folder "
                    "under this path; or give `store` a URL."
                )
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(inner.result())


def capacity(nodes: Iterable[Mapping[str, Any]], wanted: Resources) -> int:
    """How many tasks the machines of a cluster that are alive can do at once.

    Args:
        nodes: as ``ray.nodes()`` gives them.
        wanted: what a task asks for.
    """
    asked = {"CPU": wanted.cpus, "GPU": wanted.gpus, "memory": (wanted.memory_gib or 0) * 2**30}
    return sum(
        min(int(node["Resources"].get(name, 0) / least) for name, least in asked.items() if least)
        for node in nodes
        if node["Alive"]
    )


def _cause(error: BaseException | None, task: Task) -> BaseException | None:
    """What went wrong, in our words: a stage's own error as it was, or the death of its process."""
    from ray.exceptions import RayError, RayTaskError, TaskCancelledError

    if isinstance(error, RayTaskError) and isinstance(error.cause, Exception):
        return error.cause
    if isinstance(error, TaskCancelledError):
        return NarrowsError(f"{task.title} was stopped.")
    if isinstance(error, RayError):
        return NarrowsError(
            f"the process or the machine that did {task.title} died, {RETRIES + 1} times in all "
            f"({type(error).__name__}: {one_line(error)}). If it was short of memory, give `resources` more "
            "memory_gib. Run the study again: finished stages stay, and this one goes on where it was."
        )
    return error


def _judges_here(config: StudyConfig) -> bool:
    """Whether a judge of the study runs on the machine that asks it."""
    files = [entry.files for entry in config.behaviours if entry.files is not None]
    return any(one.judge.model.startswith(LOCAL_JUDGES) for one in files)


def _asked(wanted: Resources) -> str:
    memory = "" if wanted.memory_gib is None else f" and {wanted.memory_gib:g} GiB of memory"
    return f"{wanted.cpus:g} CPUs, {wanted.gpus:g} GPUs{memory}"


def _described(node: Mapping[str, Any]) -> str:
    has = node["Resources"]
    memory = has.get("memory", 0) / 2**30
    name = node.get("NodeManagerHostname", "a machine")
    return f"{name}: {has.get('CPU', 0):g} CPUs, {has.get('GPU', 0):g} GPUs, {memory:.0f} GiB"
