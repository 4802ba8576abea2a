"""``narrows study run`` and ``stage``: doing a study, whole or task by task."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from narrows.cli import options
from narrows.cli.output import print_json, show, stdout
from narrows.cli.running import command_of, say, working
from narrows.cli.study import inputs
from narrows.cli.study.carrying_out import carry_out_here
from narrows.cli.study.planning import show_plan
from narrows.cli.study.tables import pooled_table
from narrows.errors import ConfigError
from narrows.forking import begin_importing

if TYPE_CHECKING:
    from narrows.study.config import StudyConfig
    from narrows.study.execution.scheduling import Workers
    from narrows.study.plan.build import Plan
    from narrows.study.plan.stage import Task
    from narrows.study.store import Store


def run(
    file: inputs.File,
    *,
    ctx: typer.Context,
    out: inputs.Out = None,
    overrides: inputs.Set = None,
    workers: options.Workers = None,
    device: options.Device = None,
    ray: Annotated[
        str | None,
        typer.Option(
            help="Give the tasks to a Ray cluster: `local` starts one here, `auto` or HOST:PORT joins one "
            "(the extra ray).",
            metavar="ADDRESS|local",
        ),
    ] = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Do what is not finished of a study, decide its claims, and write its report.

    The plan is shown first. Stages are found by the hash of what determines them: stop at any moment (Ctrl-C,
    a kill), change the file, start again, and only what is missing is done. A stage that fails is named with
    its log, and loses nothing else. Several processes may work in one folder at once. Exit code 1 if a stage
    failed.

    Example: `narrows study run microworld-quick --out runs/quick --workers 2`
    """
    options.only_one(ray=ray, workers=workers)
    options.only_one(ray=ray, device=device)
    started = time.perf_counter()
    if ray is None and workers != 1:
        begin_importing()
    config = inputs.load(file, overrides)
    place = inputs.folder(config, out)
    with working(quiet, keeps=place):
        from narrows.study.plan.estimate import estimate

        def look(made: "Plan", store: "Store", left: "list[Task]") -> None:
            if not quiet and not as_json:
                show_plan(made, left, store, estimate(made, left, store, workers))

        team = _workers(config, workers, device, ray)
        found = carry_out_here(config, place, team, command=command_of(ctx), look=look)
    if as_json:
        print_json(found.as_values())
    else:
        found.show_failures()
        if found.page is not None:
            show("", pooled_table(found.summary(), stdout.width), "")
        found.show_places(time.perf_counter() - started)
    found.end()


def stage(
    file: inputs.File,
    ids: Annotated[
        list[str],
        typer.Argument(
            help="Tasks or stages by their ids (`narrows study plan FILE --tasks`).",
            metavar="ID…",
            show_default=False,
        ),
    ],
    *,
    out: inputs.Out = None,
    overrides: inputs.Set = None,
    device: options.Device = None,
    quiet: options.Quiet = False,
) -> None:
    """Do single tasks of a study: what a job array calls.

    What they need must be finished: give the tasks of one wave after those of the wave before. A task that
    another process is doing is left to it. When all are done, `narrows study report` puts the study together.

    Example: `narrows study stage microworld-quick training-0123456789ab --out runs/quick`
    """
    config = inputs.load(file, overrides)
    place = inputs.folder(config, out)
    with working(quiet, keeps=place):
        from narrows.study.execution.running import open_study, pending
        from narrows.study.execution.single import do_tasks
        from narrows.study.stages.bench import Bench

        made, store = open_study(config, place)
        for line in do_tasks(ids, made, pending(made, store), Bench(config, store, device)):
            say(line)


def _workers(
    config: "StudyConfig", workers: int | None, device: str | None, ray: str | None
) -> "Callable[[Plan, Store], Workers]":
    """Who does the tasks."""
    from narrows.study.execution.local import local_workers

    if ray is None:
        return lambda plan, store: local_workers(config, store, workers, device)
    try:
        from narrows.study.execution.cluster import joined
    except ImportError as error:
        raise ConfigError("--ray needs the extra ray: pip install 'narrows[ray]'.") from error
    return lambda plan, store: joined(ray, config, store)
