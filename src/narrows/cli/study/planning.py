"""``narrows study plan``: what would be done, what is there already, and what it will take."""

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from narrows.cli import options
from narrows.cli.output import print_json, show, show_line
from narrows.cli.running import working
from narrows.cli.study import inputs
from narrows.cli.tables import plain_table

if TYPE_CHECKING:
    from narrows.study.plan.build import Plan
    from narrows.study.plan.estimate import Estimate
    from narrows.study.plan.stage import Task
    from narrows.study.store import Store

GIB = 2**30


def plan(
    file: inputs.File,
    *,
    out: inputs.Out = None,
    overrides: inputs.Set = None,
    workers: options.Workers = None,
    tasks: Annotated[
        bool,
        typer.Option(
            "--tasks",
            help="Print a line for each task that is left, `WAVE ID TITLE`: tasks of one wave need only "
            "those of earlier ones. For job arrays.",
        ),
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Show what a study would do: its runs and stages, what is finished, and estimated tokens, memory, time.

    Nothing is trained and no weights are loaded. The plan and the effective file are kept in the folder.

    Example: `narrows study plan microworld-quick`
    """
    with working():
        from narrows.study.execution.running import open_study, pending
        from narrows.study.execution.single import list_banks
        from narrows.study.plan.estimate import estimate

        config = inputs.load(file, overrides)
        made, store = open_study(config, inputs.folder(config, out))
        left = pending(made, store)
        list_banks(left, store)
        expected = estimate(made, left, store, workers)
    if as_json:
        print_json(as_values(made, left, store, expected))
    elif tasks:
        for wave, task in waves(left):
            show_line(f"{wave} {task.id} {task.title}")
    else:
        show_plan(made, left, store, expected)
        show_line(f"Now: narrows study run {file}" + (f" --out {out}" if out else ""))


def waves(left: "list[Task]") -> "list[tuple[int, Task]]":
    """Tasks with their wave: 0 needs nothing that is not finished."""
    of_stage: dict[str, int] = {}
    found = []
    for task in left:
        wave = 1 + max((of_stage[one] for one in task.needs if one in of_stage), default=-1)
        of_stage |= {stage.id: wave for stage in task.stages}
        found.append((wave, task))
    return sorted(found, key=lambda pair: pair[0])


def show_plan(made: "Plan", left: "list[Task]", store: "Store", expected: "Estimate") -> None:
    """Print a plan for people."""
    of_kind = Counter(stage.kind for stage in made.stages.values())
    finished = Counter(stage.kind for stage in made.stages.values() if store.finished(stage.id))
    table = plain_table(f"Study {made.config.name}", "stage", "in all", "finished", "left, about")
    for kind, count in of_kind.items():
        table.add_row(kind, str(count), str(finished[kind]), expected.words(kind))
    show(table, "")
    banks = [task for task in left if len(task.stages) > 1]
    show_line(
        f"{len(made.runs)} runs, {len(made.stages)} stages, {sum(finished.values())} finished; "
        f"{len(left)} tasks left"
        + (
            f", {sum(len(one.stages) for one in banks)} trainings of them in {len(banks)} banks."
            if banks
            else "."
        )
    )
    show_line(str(expected))


def as_values(made: "Plan", left: "list[Task]", store: "Store", expected: "Estimate") -> dict[str, Any]:
    """The plan for a program."""
    return {
        "study": made.config.name,
        "out": str(store.root),
        "runs": [run.id for run in made.runs],
        "stages": [
            {"id": one.id, "kind": one.kind, "title": one.title, "finished": store.finished(one.id)}
            for one in made.stages.values()
        ],
        "tasks": [
            {"id": task.id, "wave": wave, "title": task.title, "stages": [one.id for one in task.stages]}
            for wave, task in waves(left)
        ],
        "estimate": expected.as_values(),
    }
