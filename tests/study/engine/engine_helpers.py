"""What the tests of the study engine share: small studies, made-up stages, and workers of threads."""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from narrows.study.config import StudyConfig, load_study
from narrows.study.plan.stage import Kind, Stage, Task
from narrows.study.store import Store
from narrows.training import Recipe

WORLD = "microworld:1"
QUICK = "microworld-quick"
TINY = (
    f"models={WORLD}",
    "behaviours=[{world: {domains: [garden], phrasings: 1, texts_per_kind: 2}}]",
    "adapters=[{adapter: steering}]",
    "recipe.steps=2",
    "recipe.batch_size=4",
    "recipe.checkpoint_every=1",
    "kl_weights=[]",
    "kl_weight=2",
    "mixtures=null",
    "measure={samples: 1, max_new_tokens: 4, scales: [1], rows: 8, norm_points: 2, draws: 2, lifted: false, "
    "significance: false, gradients: false, convergence: false}",
)
"""Over microworld-quick: one run of thirteen stages, some seconds long."""


def tiny(*more: str) -> StudyConfig:
    """The tiniest study, with changes."""
    return load_study(QUICK, (*TINY, *more))


def stage(name: str, *needs: Stage, kind: Kind = "verdicts", **settings: Any) -> Stage:
    """A made-up stage, and what it needs."""
    inputs = {f"input-{place}": one.id for place, one in enumerate(needs)}
    return Stage(kind, name, "a run", WORLD, "harmful-garden", {"name": name, **settings}, inputs)


def training(name: str, *needs: Stage, model: str = WORLD, **recipe: Any) -> Stage:
    """A made-up training."""
    settings = {"name": name, "recipe": Recipe(**({"steps": 10} | recipe)).model_dump(mode="json")}
    inputs = {f"input-{place}": one.id for place, one in enumerate(needs)}
    return Stage("training", name, "a run", model, "harmful-garden", settings, inputs)


def alone(*stages: Stage) -> list[Task]:
    """Each stage as a task."""
    return [Task((one,)) for one in stages]


def publish(store: Store, one: Stage, text: str = "") -> None:
    """Make something the stage's result."""
    store.work(one.id).mkdir(parents=True, exist_ok=True)
    (store.work(one.id) / "result.txt").write_text(text)
    store.publish(one, {"seconds": 1.0})


@contextmanager
def held_elsewhere(store: Store, task: Task) -> Iterator[Callable[[], None]]:
    """Hold the locks of a task, as another process would; yields what lets them go."""
    with ExitStack() as held:
        for name in {task.id, *(one.id for one in task.stages)}:
            path = store.root / "locks" / f"{name}.lock"
            path.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(FileLock(path))
        yield held.close


class Threads:
    """Workers that are threads, and note what was begun and how many tasks were under way at once."""

    def __init__(self, count: int, behave: Callable[[Task], bool]) -> None:
        self.count, self.begun, self.most = count, list[str](), 0
        self._behave, self._now, self._lock = behave, 0, threading.Lock()
        self._pool = ThreadPoolExecutor(8)

    def submit(self, task: Task) -> "Future[bool]":
        with self._lock:
            self.begun.append(task.title)
            self._now += 1
            self.most = max(self.most, self._now)
        return self._pool.submit(self._do, task)

    def close(self) -> None:
        self._pool.shutdown()

    def _do(self, task: Task) -> bool:
        try:
            return self._behave(task)
        finally:
            with self._lock:
                self._now -= 1


def journal(out: Path, event: str = "finished") -> list[str]:
    """The stages that a study's journal has an event of; a line that is being written is left out."""
    path = out / "journal.jsonl"
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [line["stage"] for line in map(json.loads, filter(None, lines)) if line["event"] == event]


def plain_summary(out: Path) -> dict[str, object]:
    """A study's summary, less what differs from one sitting to the next."""
    values: dict[str, object] = json.loads((out / "summary.json").read_text())
    return {name: rows for name, rows in values.items() if name not in ("costs", "timings")}


def running_processes(pids: Iterator[int] | list[int]) -> list[int]:
    """Those that still run; what nobody has waited for yet does not."""
    found = []
    for pid in pids:
        status = Path(f"/proc/{pid}/stat")
        try:
            state = status.read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state not in "ZX":
            found.append(pid)
    return found


def study_command(file: str, out: Path, *arguments: object, overrides: tuple[str, ...] = ()) -> list[str]:
    """The arguments of ``narrows`` that run a study."""
    flags = [part for one in overrides for part in ("--set", one)]
    return ["study", "run", file, "--out", str(out), *map(str, arguments), *flags]
