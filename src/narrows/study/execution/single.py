"""Single tasks by their ids, as job arrays ask for them."""

from collections.abc import Iterator, Sequence

from narrows.errors import ConfigError
from narrows.study.plan.build import Plan
from narrows.study.plan.stage import Task
from narrows.study.stages.bench import Bench
from narrows.study.stages.doing import do


def do_tasks(ids: Sequence[str], plan: Plan, left: Sequence[Task], bench: Bench) -> Iterator[str]:
    """Do tasks in the order of their ids; yields what is to be said of each.

    Args:
        ids: of tasks, or of single stages.
        plan: of the study.
        left: the tasks that are not finished.
        bench: where they are done.

    Raises:
        ConfigError: there is no such task, or one needs what is not finished; names it.
        Whatever a stage raises.
    """
    tasks = {task.id: task for task in left}
    for id_ in ids:
        if bench.store.finished(id_):
            yield f"{id_} is finished already."
            continue
        task = tasks.get(id_) or (Task((plan.stages[id_],)) if id_ in plan.stages else None)
        if task is None:
            yield _unknown(id_)
            continue
        if missing := sorted(one for one in task.needs if not bench.store.finished(one)):
            raise ConfigError(
                f"{task.title} needs {len(missing)} stages that are not finished, {missing[0]} among them: "
                "do the tasks of earlier waves first (`narrows study plan FILE --tasks`)."
            )
        yield f"{task.title}: done." if do(task, bench) else f"{task.title}: another process is doing it."


def _unknown(id_: str) -> str:
    """A bank is known by its members, and is no more when they are finished; anything else is a slip."""
    if id_.startswith("bank-"):
        return f"{id_} is no task that is left: its trainings are finished, or the study was changed."
    raise ConfigError(
        f"the study has no task or stage {id_!r}: `narrows study plan FILE --tasks` lists those that "
        "are left."
    )
