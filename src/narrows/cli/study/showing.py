"""``narrows study status``, ``show``, ``report`` and ``presets``: looking at a study."""

from collections import Counter
from pathlib import Path

from narrows.cli import options
from narrows.cli.output import print_json, show_line, stdout
from narrows.cli.output import show as show_renderable
from narrows.cli.running import working
from narrows.cli.study import inputs
from narrows.cli.study.tables import pooled_table
from narrows.cli.tables import plain_table
from narrows.errors import DataError


def show(file: inputs.File, *, overrides: inputs.Set = None, as_json: options.Json = False) -> None:
    """Print the effective study: the file with all defaults and what was put over it.

    Example: `narrows study show microworld-quick --set measure.samples=4`
    """
    config = inputs.load(file, overrides)
    if as_json:
        print_json(config.model_dump(mode="json"))
    else:
        show_line(config.as_yaml().rstrip())


def presets(*, as_json: options.Json = False) -> None:
    """List the studies that come with the package.

    `narrows study show NAME` prints one; give its name instead of a file to run it.

    Example: `narrows study presets`
    """
    with working():
        from narrows.study.config import load_study, preset_names, runs_of

        found = [(name, load_study(name)) for name in preset_names()]
    if as_json:
        print_json([one.model_dump(mode="json") for _, one in found])
        return
    longest = max(len(name) for name, _ in found)
    for name, one in found:
        show_line(f"{name:{longest}}  {len(runs_of(one)):3} runs  {one.title}")


def status(
    file: inputs.File, *, out: inputs.Out = None, overrides: inputs.Set = None, as_json: options.Json = False
) -> None:
    """Say how far a study is: stages finished, under way now, and failed, with their logs.

    Example: `narrows study status microworld-full`
    """
    with working():
        from narrows.study.execution.running import pending
        from narrows.study.plan.build import plan_study
        from narrows.study.store_shared import open_store

        config = inputs.load(file, overrides)
        store, made = open_store(inputs.folder(config, out), config.store), plan_study(config)
        left = pending(made, store)
        under_way = [task for task in left if store.running(*(one.id for one in task.stages))]
        last: dict[str, str] = {}
        for line in store.journal():
            last[line["stage"]] = line["event"]
        failed = [
            task
            for task in left
            if task not in under_way and any(last.get(one.id) == "failed" for one in task.stages)
        ]
    of_kind = Counter(one.kind for one in made.stages.values())
    finished = Counter(one.kind for one in made.stages.values() if store.finished(one.id))
    if as_json:
        print_json(
            {
                "out": str(store.root),
                "stages": len(made.stages),
                "finished": sum(finished.values()),
                "running": [task.id for task in under_way],
                "failed": [task.id for task in failed],
                "runs": {run: store.finished(one) for run, one in made.decided.items()},
            }
        )
        return
    table = plain_table(f"Study {config.name} in {store.root}", "stage", "in all", "finished")
    for kind, count in of_kind.items():
        table.add_row(kind, str(count), str(finished[kind]))
    show_renderable(table, "")
    done = sum(store.finished(one) for one in made.decided.values())
    show_line(f"{done} of {len(made.decided)} runs are decided.")
    for task in under_way:
        show_line(f"Under way: {task.title}")
    for task in failed:
        show_line(f"Failed:    {task.title}; log: {store.log(task.id)}")


def report(
    file: inputs.File, *, out: inputs.Out = None, overrides: inputs.Set = None, as_json: options.Json = False
) -> None:
    """Put a study's finished runs together, and write its page again: summary, report, figures, tables.

    Example: `narrows study report microworld-full`
    """
    with working():
        from narrows.report import write_report
        from narrows.study.plan.build import plan_study
        from narrows.study.results.whole import gather
        from narrows.study.store_shared import open_store

        config = inputs.load(file, overrides)
        # Only looked at: the folder keeps the file and the plan of the last run.
        made, store = plan_study(config), open_store(inputs.folder(config, out), config.store)
        summary = gather(made, store)
        if summary is None:
            raise DataError(
                f"no run of the study in {store.root} is decided yet: `narrows study run {file}` goes on "
                "with it, `narrows study status` says how far it is."
            )
        page: Path = write_report(store.root)
    if as_json:
        print_json({"report": str(page), "runs": len(summary.runs)})
        return
    show_renderable(pooled_table(summary, stdout.width), "")
    show_line(f"Report   {page}")
