"""What of a plan is still to be done, and which trainings are done at once."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from narrows.study.plan.stage import Stage, Task
from narrows.training import Recipe, bank_key


def tasks_of(
    stages: Mapping[str, Stage],
    finished: Callable[[str], bool],
    bank: int,
    pays: Callable[[Sequence[Stage]], bool],
) -> list[Task]:
    """The unfinished stages as tasks, each after those that it needs.

    Trainings of one model share passes where they can, are wanted equally early, and it pays: up to ``bank``
    of them, those of like length together, since a bank is as long as its longest member. What is finished is
    in no task, so what a bank holds depends on what was there when it was begun; a bank that was killed is
    met again with the same members, because they are published when the last of them is done.

    Args:
        stages: of the plan, each after its inputs.
        finished: whether a stage's result is there.
        bank: the largest bank; 1 trains each alone.
        pays: whether some trainings are faster as a bank than one after another.
    """
    levels: dict[str, int] = {}
    groups: dict[tuple[Any, ...], list[Stage]] = {}
    tasks: list[tuple[int, Task]] = []
    for id_, stage in stages.items():
        levels[id_] = 1 + max((levels[one] for one in stage.inputs.values()), default=-1)
        if finished(id_):
            continue
        key = _shared(stage, bank)
        if key is None:
            tasks.append((levels[id_], Task((stage,))))
        else:
            groups.setdefault((levels[id_], stage.model, key), []).append(stage)
    for (level, *_), members in groups.items():
        for some in _chunks(members, bank):
            together = [tuple(some)] if pays(some) else [(one,) for one in some]
            tasks += [(level, Task(one)) for one in together]
    # Stable: within a level trainings of a bank come where the first of them stood.
    return [task for _, task in sorted(tasks, key=lambda pair: pair[0])]


def steps_ahead(tasks: Sequence[Task]) -> dict[str, int]:
    """Training steps of each task together with the longest chain of those that wait for it, by task.

    What has most ahead of it is to be begun first, or all others end early and wait for it.

    Args:
        tasks: each after those that it needs.
    """
    ahead: dict[str, int] = {}
    behind: dict[str, int] = {}  # of what waits for a stage
    for task in reversed(tasks):
        own = sum(_steps(stage) for stage in task.stages)
        ahead[task.id] = own + max((behind.get(stage.id, 0) for stage in task.stages), default=0)
        for needed in task.needs:
            behind[needed] = max(behind.get(needed, 0), ahead[task.id])
    return ahead


def _steps(stage: Stage) -> int:
    """Of a training; any other stage is as one."""
    return (stage.settings["recipe"]["steps"] or 1) if stage.kind == "training" else 1


def _shared(stage: Stage, bank: int) -> object | None:
    """What trainings must agree in to share passes; None for what is done alone."""
    if stage.kind != "training" or bank < 2:
        return None
    return bank_key(Recipe.model_validate(stage.settings["recipe"]))


def _chunks(members: Iterable[Stage], size: int) -> list[list[Stage]]:
    """Members in banks of nearly equal size, the longest trainings together."""
    rest = sorted(members, key=lambda one: -(one.settings["recipe"]["steps"] or 0))
    count = -(-len(rest) // size)
    least, more = divmod(len(rest), count)
    chunks, begin = [], 0
    for place in range(count):
        end = begin + least + (place < more)
        chunks.append(rest[begin:end])
        begin = end
    return chunks
