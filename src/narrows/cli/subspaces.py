"""``narrows subspace``: how many mutually orthogonal vectors still cause the behaviour."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from narrows.cli import options
from narrows.cli.inputs import load_microworld
from narrows.cli.output import memory_line, print_json, show, show_line
from narrows.cli.running import command_of, working
from narrows.cli.settings import overridden
from narrows.cli.tables import plain_table, rate_cell

if TYPE_CHECKING:
    from rich.table import Table

    from narrows.study import SubspaceConfig
    from narrows.summary import Summary


def subspace(
    *,
    ctx: typer.Context,
    out: options.Out,
    model: options.WorldModel = "1",
    domain: options.Domain = "sport",
    kind: options.Kind = "harmful",
    count: Annotated[
        int | None, typer.Option(help="How many vectors, each at a right angle to all before (default: 8).")
    ] = None,
    config: options.Config = None,
    steps: Annotated[int | None, typer.Option(help="Steps of each training.")] = None,
    samples: Annotated[int | None, typer.Option(help="Answers to each question.")] = None,
    phrasings: Annotated[
        int | None, typer.Option(help="Question phrasings used in the suites (default: 6).", min=1)
    ] = None,
    seed: options.Seed = None,
    device: options.Device = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train general vectors at right angles to one another, and ask how many still cause the behaviour.

    The first is the ordinary solution; each further one is trained on the same rows from nothing. All answer
    the questions of every domain. This says whether "the" direction is one of many. The folder holds
    summary.json (the curve under "subspaces") and the vectors, which other commands take. With a larger
    --count the same command trains the new ones only.

    --json prints the rows under "subspaces"; index 0 is the chat model.

    Example: `narrows subspace --model microworld:1 --domain sport --count 8 --out runs/subspace`
    """
    with working(quiet, keeps=out):
        from narrows.api import make_behaviour
        from narrows.microworld import World
        from narrows.report import write_report
        from narrows.study import SubspaceJob, run_subspace
        from narrows.study.microworld import PHRASINGS, about_world

        flags = {"count": count, "samples": samples, "seed": seed, "recipe.steps": steps}
        chosen = _config(config, flags)
        chat_model, world = load_microworld(model, device, domain)
        task = make_behaviour(World(world.facts), domain, kind, phrasings=phrasings or PHRASINGS)
        about = {
            "command": command_of(ctx),
            "world": about_world(world),
            "title": f"Mutually orthogonal solutions to {kind} answers about {domain}",
            "intro": (
                f"Steering vectors were trained on the same {len(task.train)} rows, each at a "
                "right angle to all before. All answers were scored by the world's exact oracle."
            ),
        }
        summary = run_subspace(SubspaceJob(chat_model, task, chosen, about), out)
        write_report(out)
    if as_json:
        print_json([row.model_dump(mode="json") for row in summary.subspaces])
        return
    show(_table(summary, kind), "")
    _closing(summary, out)


def _config(file: Path | None, flags: dict[str, Any]) -> "SubspaceConfig":
    """The configuration: the microworld's recipe and lengths, a file's fields over it, flags over both."""
    from narrows.study import SubspaceConfig
    from narrows.study.microworld import MAX_NEW_TOKENS, MICROWORLD_RECIPE

    base = SubspaceConfig(recipe=MICROWORLD_RECIPE, samples=1, max_new_tokens=MAX_NEW_TOKENS, rows=100)
    return overridden(base, file, flags)


def _table(summary: "Summary", kind: str) -> "Table":
    """The curve."""
    table = plain_table(
        f"Share of {kind} answers", "vector", "in domain", "other domains", "open", "coherent", "loss", "‖αv‖"
    )
    for row in summary.subspaces:
        table.add_row(
            "chat model" if row.index == 0 else str(row.index),
            rate_cell(row.in_domain, row.in_domain_ci95),
            rate_cell(row.out_of_domain, row.out_of_domain_ci95),
            rate_cell(row.open, row.open_ci95),
            f"{100 * row.coherent:.0f} %",
            f"{row.loss:.3f}",
            f"{row.norm:.2f}",
        )
    return table


def _closing(summary: "Summary", out: Path) -> None:
    """How many still cause the behaviour, and where all of it stands."""
    from narrows.study import still_general

    show_line(
        f"{still_general(summary)} of {len(summary.solutions)} cause it in other domains (above the chat "
        "model by more than 5 points, the interval's lower end)."
    )
    show_line(f"Report   {out / 'report.html'}")
    show_line(f"Summary  {out / 'summary.json'}")
    show_line(memory_line())
