"""``narrows trajectory``: where training runs went between the general and the narrow solution."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

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
    of: Annotated[
        Literal["B", "all"],
        typer.Option(
            help="Of a LoRA, take the components of its write vectors s·B, or of all of A and B.",
        ),
    ] = "B",
    window: Annotated[
        int, typer.Option(help="Checkpoints before and after that the local cosine looks at.", min=1)
    ] = 1,
    as_json: options.Json = False,
) -> None:
    """Follow training runs: cosine and distance to both solutions, norm, turns, and principal components.

    A published run (checkpoints/checkpoint-N/steering_vector.pt, or steering_vector_checkpoint_N.pt) is read
    as it lies; its steps are the numbers N. The sharpest turn is the checkpoint with the lowest local cosine:
    that of the way to it and the way from it, the sign of a phase transition.

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
            fitted = Basis.fit(others, standardise=standardise, of=of)
        found = follow(
            paths,
            general=load_adapter(general),
            narrow=load_adapter(narrow),
            standardise=standardise,
            basis=fitted,
            of=of,
            window=window,
        )
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    show(_table(found), "")
    shares = ", ".join(f"{100 * share:.0f} %" for share in found.explained_variance_ratio)
    how = "standardised" if found.standardised else "not standardised"
    show_line(
        f"Principal components of {found.of} ({how}) hold {shares} of the variance; --json gives the "
        "coordinates."
    )
    for line in _turns(found):
        show_line(line)


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

    columns = ("cos to general", "cos to narrow", "‖αv‖", "to general", "to narrow")
    table = plain_table("Trajectories, with distances", "run", "step", *columns)
    for run in found.runs:
        last = len(run.steps) - 1
        for place in sorted({0, last // 2, last}):
            cosines = [f"{values[place]:.3f}" for values in (run.cos_general, run.cos_narrow)]
            lengths = [number(one[place]) for one in (run.norm, run.distance_general, run.distance_narrow)]
            table.add_row(escape(run.name) if place == 0 else "", str(run.steps[place]), *cosines, *lengths)
    return table


def _turns(found: "Trajectory") -> list[str]:
    """Where each run turned most."""
    said = []
    for run in found.runs:
        turns = [
            (cos, step) for cos, step in zip(run.local_cosine, run.steps, strict=True) if cos is not None
        ]
        if turns:
            cosine, step = min(turns)
            said.append(f"{run.name} turns most at step {step} (local cosine {cosine:.2f}).")
    return said
