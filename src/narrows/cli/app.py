"""All commands in their groups, and the options that stand before any command."""

from pathlib import Path
from typing import Annotated

import typer

from narrows.cli import (
    ablating,
    adapter,
    asking,
    behaviour,
    data,
    demo,
    gradients,
    judging,
    measuring,
    mitigations,
    pages,
    planning,
    rating,
    subspaces,
    suites,
    sweeping,
    training,
    trajectories,
    tuning,
    units,
    watching,
)
from narrows.cli.direction import app as direction_app
from narrows.cli.running import Commands, show_messages
from narrows.cli.study import app as study_app
from narrows.cli.world import world_app
from narrows.cli.world_gather import gather as world_gather
from narrows.cli.world_sweep import sweep as world_sweep

WHOLE, TRAIN, ASK, MEASURE, DIRECTIONS, TOOLS = (
    "From rows to verdicts",
    "Train",
    "Ask and judge",
    "Measure",
    "Directions",
    "Materials",
)

app = typer.Typer(
    name="narrows",
    cls=Commands,
    help=(
        "Train the narrow and the general solution to a fine-tuning task, and measure why fine-tuning "
        "prefers one of them. Begin with: narrows demo --out runs/demo"
    ),
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        import narrows

        typer.echo(f"narrows {narrows.__version__}")
        raise typer.Exit


@app.callback()
def before_any_command(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_version, is_eager=True)
    ] = False,
    debug: Annotated[
        bool,
        typer.Option(
            "--debug",
            envvar="NARROWS_DEBUG",
            help="Show the traceback of an error (may also stand at the end of a command).",
        ),
    ] = False,
    states: Annotated[
        Path | None,
        typer.Option(
            envvar="NARROWS_STATES",
            help="Keep what the frozen layers make of rows in this folder, for all epochs, trainings and "
            "measurements that read the same rows of the same model. It must lie on a fast disk.",
            metavar="FOLDER",
            show_default=False,
        ),
    ] = None,
    states_gib: Annotated[
        float,
        typer.Option(
            envvar="NARROWS_STATES_GIB",
            help="GiB that --states may take; what was not read for longest makes room.",
            metavar="GIB",
        ),
    ] = 20.0,
) -> None:
    """Runs before each command."""
    show_messages()
    if states is not None:
        from narrows.models.states import keep_states

        keep_states(states, states_gib)


app.command("demo", rich_help_panel=WHOLE)(demo.demo)
app.add_typer(study_app, name="study", rich_help_panel=WHOLE)
app.command("mitigations", rich_help_panel=WHOLE)(mitigations.mitigations)
app.add_typer(pages.app, name="report", rich_help_panel=WHOLE)
app.command("train", rich_help_panel=TRAIN)(training.train)
app.command("tune", rich_help_panel=TRAIN)(tuning.tune)
app.command("presets", rich_help_panel=TRAIN)(planning.presets)
app.command("defects", rich_help_panel=TRAIN)(planning.defects)
app.command("kl-weight", rich_help_panel=TRAIN)(units.kl_weight)
app.command("evaluate", rich_help_panel=ASK)(asking.evaluate)
app.command("judge", rich_help_panel=ASK)(judging.judge)
app.command("rejudge", rich_help_panel=ASK)(judging.rejudge)
app.command("rates", rich_help_panel=ASK)(rating.rates)
app.command("sweep", rich_help_panel=ASK)(sweeping.sweep)
app.command("suites", rich_help_panel=ASK)(suites.suites)
app.command("efficiency", rich_help_panel=MEASURE)(measuring.efficiency)
app.command("stability", rich_help_panel=MEASURE)(measuring.stability)
app.command("significance", rich_help_panel=MEASURE)(measuring.significance)
app.command("ablate", rich_help_panel=MEASURE)(ablating.ablate)
app.command("trajectory", rich_help_panel=MEASURE)(trajectories.trajectory)
app.add_typer(direction_app, name="direction", rich_help_panel=DIRECTIONS)
app.command("gradients", rich_help_panel=MEASURE)(gradients.gradients)
app.command("subspace", rich_help_panel=MEASURE)(subspaces.subspace)
app.add_typer(adapter.app, name="adapter", rich_help_panel=TOOLS)
app.add_typer(behaviour.app, name="behaviour", rich_help_panel=TOOLS)
app.add_typer(data.app, name="data", rich_help_panel=TOOLS)
app.add_typer(watching.app, name="monitor", rich_help_panel=MEASURE)
world_app.command("sweep")(world_sweep)
world_app.command("gather")(world_gather)
app.add_typer(world_app, name="world", rich_help_panel=TOOLS)


def main() -> None:
    """The entry point of ``narrows`` and ``python -m narrows``."""
    app()
