"""``narrows study run`` and ``stage``: doing a study, whole or task by task."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from narrows.cli import options
from narrows.cli.output import memory_line, print_json, show, show_line, stdout
from narrows.cli.running import FAILED, say, working
from narrows.cli.study import inputs
from narrows.cli.study.planning import show_plan
from narrows.cli.study.tables import pooled_table
from narrows.errors import ConfigError

if TYPE_CHECKING:
    from narrows.study.config import StudyConfig
    from narrows.study.execution.scheduling import Outcome, Workers
    from narrows.study.plan.build import Plan
    from narrows.study.store import Store


def run(
    file: inputs.File,
    *,
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
    config = inputs.load(file, overrides)
    place = inputs.folder(config, out)
    with working(quiet, keeps=place):
        from narrows.report import write_report
        from narrows.study.execution.running import carry_out, open_study, pending
        from narrows.study.plan.estimate import estimate

        made, store = open_study(config, place)
        left = pending(made, store)
        if not quiet and not as_json:
            show_plan(made, left, store, estimate(made, left, store, workers))
        outcome = carry_out(made, store, left, _workers(config, workers, device, ray))
        # A summary of an earlier form of the study may lie there; it says nothing of this one.
        decided = any(map(store.finished, made.decided.values()))
        page = write_report(place) if decided else None
    if as_json:
        print_json(_as_values(outcome, place, page))
    else:
        _closing(outcome, store, page, time.perf_counter() - started)
    if outcome.failures:
        raise typer.Exit(FAILED)


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


def _closing(outcome: "Outcome", store: "Store", page: Path | None, seconds: float) -> None:
    """How it went, and where everything is."""
    from narrows.report.text import duration
    from narrows.summary import Summary

    for failure in outcome.failures:
        show_line(f"Failed: {failure.task.title}: {failure.error}")
        show_line(f"        log: {store.log(failure.task.id)}")
    if outcome.blocked:
        show_line(f"Not begun, since they need what failed: {len(outcome.blocked)} tasks.")
    if page is not None:
        summary = Summary.load(page.with_name("summary.json"))
        show("", pooled_table(summary, stdout.width), "")
        show_line(f"Summary  {page.with_name('summary.json')}")
        show_line(f"Report   {page}")
    memory = memory_line()
    show_line(f"Took     {duration(seconds)} for {outcome.done} stages" + (f". {memory}" if memory else ""))


def _as_values(outcome: "Outcome", place: Path, page: Path | None) -> dict[str, object]:
    """How it went, for a program."""
    return {
        "out": str(place),
        "done": outcome.done,
        "failed": [
            {"task": one.task.id, "title": one.task.title, "error": one.error} for one in outcome.failures
        ],
        "blocked": [one.id for one in outcome.blocked],
        "report": None if page is None else str(page),
    }
