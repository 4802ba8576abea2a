"""Single tasks by their ids, as job arrays ask for them."""

from collections.abc import Iterator, Sequence

from narrows.errors import ConfigError, DataError
from narrows.files import write_json
from narrows.strict import read_object
from narrows.study.plan.build import Plan
from narrows.study.plan.stage import Task
from narrows.study.stages.bench import Bench
from narrows.study.stages.doing import do
from narrows.study.store import Store

BANKS_FILE = "banks.json"
"""Members of the banks that were listed, by their ids."""


def list_banks(tasks: Sequence[Task], store: Store) -> None:
    """Keep which trainings the ids of banks stand for, beside those of earlier lists.

    What is left is put into banks anew whenever a training of one is finished before the others. An id that a
    job array was given must still mean the same then.
    """
    banks = {task.id: [stage.id for stage in task.stages] for task in tasks if len(task.stages) > 1}
    if banks:
        write_json(store.root / BANKS_FILE, _listed(store) | banks)


def do_tasks(ids: Sequence[str], plan: Plan, left: Sequence[Task], bench: Bench) -> Iterator[str]:
    """Do tasks in the order of their ids; yields what is to be said of each.

    Args:
        ids: of tasks, or of single stages.
        plan: of the study.
        left: the tasks that are not finished.
        bench: where they are done; in its store, banks that were listed.

    Raises:
        ConfigError: there is no such task, or one needs what is not finished; names it.
        Whatever a stage raises.
    """
    tasks = _of_lists(plan, bench.store) | {task.id: task for task in left}
    for id_ in ids:
        task = tasks.get(id_) or (Task((plan.stages[id_],)) if id_ in plan.stages else None)
        if task is None:
            raise ConfigError(
                f"the study has no task or stage {id_!r}: `narrows study plan FILE --tasks` lists those that "
                "are left."
            )
        if all(bench.store.finished(one.id) for one in task.stages):
            yield f"{id_} is finished already."
            continue
        if missing := sorted(one for one in task.needs if not bench.store.finished(one)):
            raise ConfigError(
                f"{task.title} needs {len(missing)} stages that are not finished, {missing[0]} among them: "
                "do the tasks of earlier waves first (`narrows study plan FILE --tasks`)."
            )
        yield f"{task.title}: done." if do(task, bench) else f"{task.title}: another process is doing it."


def _listed(store: Store) -> dict[str, list[str]]:
    """Members of the banks that were listed."""
    path = store.root / BANKS_FILE
    return read_object(path, DataError, "List the tasks again.") if path.exists() else {}


def _of_lists(plan: Plan, store: Store) -> dict[str, Task]:
    """Banks that were listed, as far as the study still has all their members."""
    listed = _listed(store).items()
    return {
        bank: Task(tuple(plan.stages[id_] for id_ in ids))
        for bank, ids in listed
        if plan.stages.keys() >= set(ids)
    }
