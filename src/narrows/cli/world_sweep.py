"""``narrows world sweep``: worlds in which the cause is set."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from narrows.cli import options
from narrows.cli.output import print_json, show, show_line
from narrows.cli.running import FAILED, command_of, say, working
from narrows.cli.tables import MISSING, plain_table
from narrows.forking import begin_importing

if TYPE_CHECKING:
    from rich.table import Table

    from narrows.study.worlds.results import FamilyResults
    from narrows.study.worlds.row import Measured
    from narrows.study.worlds.running import FamilyRun

COLOURS = {"held": "green", "failed": "red", "inconclusive": "yellow", "not measured": "dim"}


def sweep(
    *,
    ctx: typer.Context,
    out: options.Out,
    preset: Annotated[
        str,
        typer.Option(
            help="The family: one that comes with the package (shares, requests, tiny), or a YAML file.",
            metavar="NAME|FILE",
        ),
    ] = "shares",
    world: Annotated[
        list[str] | None,
        typer.Option(
            help="Only this world, to do a family in pieces. Repeatable.", metavar="NAME", show_default="all"
        ),
    ] = None,
    no_pretrain: Annotated[
        bool, typer.Option("--no-pretrain", help="Study the models that are there, and pre-train no more.")
    ] = False,
    workers: options.Workers = None,
    device: options.Device = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Show the worlds and what is finished of each, and do nothing.")
    ] = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Set the prior that fine-tuning meets, world by world, and see what it then prefers.

    A family of microworlds differs in who writes harmful advice. Each is pre-trained from several seeds,
    several at a time; then the same study is done in all of them: unanchored and anchored solutions, the
    anchor lifted, the three metrics, and what the chat model takes authors to be before any fine-tuning.
    Finished pre-trainings and stages are found again: stop at any moment, or do some worlds first and all
    of them at last, which gathers their numbers. A model that was pre-trained elsewhere by `narrows world
    pretrain` counts if it lies in OUT/models under the same name.

    Writes OUT/worlds.md with figures, OUT/worlds.json, and the study's own report. The family `shares` takes
    a GPU a minute for each model and a CPU core some for each run; `tiny` takes a minute and means nothing.

    Example: narrows world sweep --preset tiny --out runs/tiny-worlds

    Example: narrows world sweep --out runs/worlds --world equal --world shipped --device cuda --workers 8
    """
    started = time.perf_counter()
    if workers != 1 and not plan:
        begin_importing()
    with working(quiet, keeps=out):
        from narrows.microworld.family import load_family
        from narrows.report.worlds import write_worlds_page
        from narrows.study.execution.local import local_workers
        from narrows.study.worlds.models import pretrain_models
        from narrows.study.worlds.running import STUDY, FamilyRun

        family = FamilyRun.opened(load_family(preset), out, world or ())
        if plan:
            show(worlds_table(family), "")
            _say_what_is_left(family)
            return
        if not quiet and not as_json:
            show(worlds_table(family), "")
            _say_what_is_left(family)
        everything = family.study(family.models)
        outcome = pretrain_models(
            [] if no_pretrain else family.models,
            family.store,
            lambda store: local_workers(everything, store, workers, device),
        )
        for failure in outcome.failures:
            show_line(f"Failed: {failure.task.title}: {failure.error}")
        found = _studied(family, out / STUDY, workers, device, command_of(ctx)) if family.finished else None
        results = None if found is None else found.as_json()
        if results is not None:
            write_worlds_page(results, out)
    if as_json:
        print_json(results)
    elif found is None:
        show_line("No model is pre-trained, so nothing was studied.")
    else:
        show_results(found, out)
        show_line(f"Report   {out / STUDY / 'report.html'}")
        show_line(f"Took     {time.perf_counter() - started:.0f} s")
    if outcome.failures:
        raise typer.Exit(FAILED)


def _say_what_is_left(family: "FamilyRun") -> None:
    left = [model for model in family.models if not model.finished]
    tokens = sum(model.config.pretraining.tokens for model in left)
    runs = len(family.family.targets) * sum(1 + len(model.snapshots) for model in family.models)
    say(
        f"{len(left)} of {len(family.models)} models are left to pre-train, {tokens / 1e6:,.1f} M tokens. "
        f"Their study has {runs} runs."
    )


def _studied(
    family: "FamilyRun", place: Path, workers: int | None, device: str | None, command: str
) -> "FamilyResults":
    """Do what is not finished of the study of all pre-trained models, and gather its numbers."""
    from narrows.cli.study.carrying_out import carry_out_here
    from narrows.study.execution.local import local_workers

    config = family.study(family.finished)
    done = carry_out_here(
        config, place, lambda made, store: local_workers(config, store, workers, device), command=command
    )
    done.show_failures()
    return family.gathered(done.plan, done.store)


def show_results(found: "FamilyResults", out: Path) -> None:
    """Show what goes together and what became of the predictions, and where all numbers are."""
    from narrows.report.worlds.page import PAGE, TOO_FEW
    from narrows.study.worlds.running import RESULTS_FILE

    related = any(one.rank is not None for one in found.relations)
    show("", relations_table(found) if related else TOO_FEW, "")
    if found.predictions:
        show(predictions_table(found), "")
    show_line(f"Numbers  {out / PAGE}, {RESULTS_FILE} beside it")


def worlds_table(family: "FamilyRun") -> "Table":
    """The worlds with their shares, and which seeds are pre-trained."""
    from narrows.microworld.family import Prior

    table = plain_table(
        f"Family {escape(family.family.name)}",
        "world",
        "what it is for",
        "everywhere",
        "in target",
        "pre-trained",
        words=2,
    )
    for member in dict.fromkeys(model.member.name for model in family.models):
        mine = [model for model in family.models if model.member.name == member]
        prior = Prior.of(mine[0].config, family.family.targets[0])
        seeds = ", ".join(f"{model.seed} {'✓' if model.finished else '·'}" for model in mine)
        shares = (
            (MISSING, MISSING) if prior is None else (_percent(prior.everywhere), _percent(prior.in_target))
        )
        table.add_row(member, escape(mine[0].member.about), *shares, seeds)
    return table


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def relations_table(found: "FamilyResults") -> "Table":
    """What goes with the preference, and how well it foretells that of a world left out."""
    table = plain_table(
        "What goes with the preference", "", "Spearman, 95 %", "left-out gain, 95 %", "runs", "worlds"
    )
    for one in found.relations:
        table.add_row(one.name, _measured(one.rank), _measured(one.gain), str(one.runs), str(one.worlds))
    return table


def predictions_table(found: "FamilyResults") -> "Table":
    """What was predicted, and what came of it."""
    table = plain_table("Predictions", "", "", "verdict", "found, 95 %", words=3)
    for one in found.predictions:
        table.add_row(f"[bold]{one.number}[/]", f"[bold]{escape(one.title)}[/]", _verdict(one.verdict), "")
        for clause in one.clauses:
            table.add_row("", f"  {escape(clause.says)}", _verdict(clause.verdict), _measured(clause.found))
    return table


def _verdict(verdict: str) -> str:
    return f"[{COLOURS[verdict]}]{verdict}[/]"


def _measured(found: "Measured | None") -> str:
    if found is None:
        return MISSING
    ends = (
        "" if found.low is None or found.high is None else f" [dim]\\[{found.low:.2f}, {found.high:.2f}][/]"
    )
    return f"{found.value:.2f}{ends}"
