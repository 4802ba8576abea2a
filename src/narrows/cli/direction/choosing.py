"""The flags of every command that finds directions at each layer, and how they show what they found."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast, get_args

import typer
from rich.markup import escape

from narrows.cli.output import print_json, show, show_line
from narrows.cli.tables import plain_table
from narrows.errors import ConfigError, NarrowsError

if TYPE_CHECKING:
    from rich.table import Table

    from narrows.geometry.extraction import Extraction

AUTO, ALL = "auto", "all"

PositionName = Literal["answer", "prompt", "last"]
"""As in :mod:`narrows.geometry.extraction`, which is not imported before it is needed."""
MethodName = Literal["mean-difference", "pca"]

Method = Annotated[
    MethodName,
    typer.Option(
        "--method",
        help="mean-difference: of the two sides. pca: the first component of pairs that answer one question.",
    ),
]
At = Annotated[
    list[str] | None,
    typer.Option(
        "--at",
        help="Which tokens are averaged: the answer's, the prompt's, or the last before the answer; give it "
        "several times to try several (default: answer).",
        metavar="answer|prompt|last",
    ),
]
Layer = Annotated[
    str,
    typer.Option(
        "--layer",
        help="The layer of the chosen direction, from 0; auto: where the held-out separation is best; all: "
        "choose none. Every layer is found and written in each case.",
        metavar="N|auto|all",
    ),
]
HeldOut = Annotated[
    float,
    typer.Option(
        "--held-out", help="Share of the questions that directions are held against, not fitted on."
    ),
]
BatchSize = Annotated[int, typer.Option("--batch-size", help="Rows read at once, at most.", min=1)]
MaxLength = Annotated[
    int | None, typer.Option("--max-length", help="Tokens kept of a row (default: all).", min=1)
]
Seed = Annotated[int, typer.Option("--seed", help="Draws everything that is random.")]
Out = Annotated[Path, typer.Option("--out", help="The folder to write the directions to.", metavar="DIR")]
Name = Annotated[
    str | None, typer.Option("--name", help="What the directions are called in tables (default: the method).")
]

CAUTION = (
    "Separation says where the two sides can be told apart, not what makes them differ: ablate the "
    "direction, or steer with it, to see what it does."
)


def layer_of(text: str) -> int | None:
    """The layer that ``--layer`` names; None for auto and all.

    Raises:
        ConfigError: it is none of the three.
    """
    if text in (AUTO, ALL):
        return None
    if not text.isdecimal():
        raise ConfigError(f"layer is {text!r}; give a number from 0, {AUTO} or {ALL}.")
    return int(text)


def positions_of(at: list[str] | None) -> "list[PositionName]":
    """What ``--at`` asks for, each once.

    Raises:
        ConfigError: it is none of the three.
    """
    wanted = list(dict.fromkeys(at or ["answer"]))
    if strangers := [one for one in wanted if one not in get_args(PositionName)]:
        raise ConfigError(f"at is {strangers[0]!r}; choose of {', '.join(get_args(PositionName))}.")
    return cast("list[PositionName]", wanted)


@contextmanager
def claimed(out: Path, identity: dict[str, Any]) -> Iterator[None]:
    """Claim a folder, and let it go again if the work is refused before anything was written there."""
    from narrows.files import RUN_FILE, claim_run_folder

    marker = out / RUN_FILE
    mine = not marker.exists()
    claim_run_folder(out, identity)
    try:
        yield
    except NarrowsError:
        if mine and [entry.name for entry in out.iterdir()] == [RUN_FILE]:
            marker.unlink()
            out.rmdir()
        raise


def tell(
    found: "Extraction", files: list[Path], out: Path, *, chose: bool, as_json: bool, **more: object
) -> None:
    """Show what was found."""
    if as_json:
        values = found.as_dict()
        if not chose:
            values["chosen"] = None
        print_json({"out": str(out), "files": [str(path) for path in files], **more, **values})
        return
    show(separation_table(found, chose=chose), "")
    row = found.chosen_row
    show_line(
        f"Held out: {row.positive} positive and {row.negative} negative rows in {row.clusters} clusters, on "
        "none of which the directions of this table were fitted; those in the files are fitted on all rows."
    )
    show_line(CAUTION)
    if chose:
        show_line(f"{out}: layer {row.layer}, {row.positions}, and one file for each layer")
    else:
        show_line(f"{out}: one file for each layer")


def separation_table(found: "Extraction", *, chose: bool = True) -> "Table":
    """The separation at each layer and position."""
    title = f"Held-out separation: {escape(found.chosen.name)}"
    table = plain_table(title, "tokens", "", "layer", "AUROC", "95 %", "length", words=2)
    previous = None
    for row in found.table:
        if previous not in (None, row.positions):
            table.add_row()
        previous = row.positions
        mark = chose and row == found.chosen_row
        table.add_row(
            row.positions,
            "chosen" if mark else "",
            str(row.layer),
            f"{row.auroc:.3f}",
            f"[dim]\\[{row.low:.3f}, {row.high:.3f}][/]",
            f"{found.directions[row.positions][row.layer].length:.4g}",
            style="bold" if mark else "",
        )
    return table
