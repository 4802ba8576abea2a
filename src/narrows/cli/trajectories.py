"""``narrows trajectory``: where training runs went between the general and the narrow solution."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from narrows.cli import options
from narrows.cli.inputs import load_adapter, read_run
from narrows.cli.output import print_json, show, show_line
from narrows.cli.running import working
from narrows.cli.tables import plain_table
from narrows.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table

    from narrows.summary import Trajectory


def trajectory(
    *,
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Folders of training runs, or of published runs; or hub:owner/name for one on the hub.",
            metavar="RUN…",
            show_default=False,
        ),
    ],
    general: options.General,
    narrow: options.Narrow,
    standardise: Annotated[
        bool,
        typer.Option(
            "--standardise/--no-standardise",
            help="Bring each coordinate to variance 1 before the components are taken.",
        ),
    ] = True,
    basis: Annotated[
        list[Path] | None,
        typer.Option(
            help="A run whose checkpoints make the basis; give it several times (default: RUN…).",
            metavar="RUN",
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Follow training runs: cosine to both solutions, norm, and principal components, by step.

    A published run (checkpoints/checkpoint-N/steering_vector.pt, or steering_vector_checkpoint_N.pt) is read
    as it lies; its steps are the numbers N.

    --json prints one element of "trajectories" in summary.json.

    Example: `narrows trajectory runs/narrow runs/lifted --general runs/general --narrow runs/narrow`
    """
    with working(quiet=True):
        from narrows.geometry import Basis
        from narrows.geometry import trajectory as follow

        paths = {name: read_run(folder) for name, folder in _named(runs).items()}
        fitted = None
        if basis:
            others = {name: read_run(folder) for name, folder in _named(basis).items()}
            fitted = Basis.fit(others, standardise=standardise)
        found = follow(
            paths,
            general=load_adapter(general),
            narrow=load_adapter(narrow),
            standardise=standardise,
            basis=fitted,
        )
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    show(_table(found), "")
    shares = ", ".join(f"{100 * share:.0f} %" for share in found.explained_variance_ratio)
    how = "standardised" if found.standardised else "not standardised"
    show_line(f"Principal components ({how}) hold {shares} of the variance; --json gives the coordinates.")


def _named(folders: list[Path]) -> dict[str, Path]:
    """Runs by their folders' names; on the hub by what was given.

    Raises:
        ConfigError: two have the same name.
    """
    from narrows.adapters.interchange.hub import HUB, on_hub

    named: dict[str, Path] = {}
    for folder in folders:
        if on_hub(folder):
            named[folder.as_posix().removeprefix(HUB)] = folder
            continue
        name = folder.resolve().name
        if name in named and named[name].resolve() != folder.resolve():
            raise ConfigError(
                f"{named[name]} and {folder} have the same name: rename one of the two folders."
            )
        named[name] = folder
    return named


def _table(found: "Trajectory") -> "Table":
    """The beginning, the middle and the end of each run."""
    from rich.markup import escape

    from narrows.report.text import number

    table = plain_table("Trajectories", "run", "step", "cos to general", "cos to narrow", "‖αv‖")
    for run in found.runs:
        last = len(run.steps) - 1
        for place in sorted({0, last // 2, last}):
            cosines = [f"{values[place]:.3f}" for values in (run.cos_general, run.cos_narrow)]
            table.add_row(
                escape(run.name) if place == 0 else "",
                str(run.steps[place]),
                *cosines,
                number(run.norm[place]),
            )
    return table
