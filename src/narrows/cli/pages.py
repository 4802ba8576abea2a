"""``narrows report``: the page of a run, written again, or held against the raw outputs."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from narrows.cli import options
from narrows.cli.output import print_json, show_line
from narrows.cli.running import FAILED, working

LISTED = 20
"""Mismatches shown to a person; ``--json`` has all."""

WRITE = "write"

Folder = Annotated[
    Path, typer.Argument(help="The folder of a finished run or study.", metavar="DIR", show_default=False)
]


class PageCommands(TyperGroup):
    """The commands about a page; a folder in the place of a command means that its page is written."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401  (typer's own class has no public name)
        """Put the name of the usual command before a folder."""
        first = next((one for one in args if not one.startswith("-")), None)
        if first is not None and first not in self.commands:
            args = [WRITE, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=PageCommands,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help=(
        "Write report.html and its figures again from a run's summary.json (`narrows report DIR`), or hold "
        "them against the raw outputs (`narrows report verify DIR`).\n\n"
        "Example: `narrows report runs/demo`, and with `--json` the path as JSON"
    ),
)


@app.command(WRITE)
def write(folder: Folder, as_json: options.Json = False) -> None:
    """Write report.html and its figures again from a run's summary.json: `narrows report DIR` for short.

    Example: `narrows report write runs/demo`
    """
    with working(keeps=folder):
        from narrows.report import write_report

        page = write_report(folder)
    if as_json:
        print_json({"report": str(page)})
    else:
        show_line(str(page))


@app.command()
def verify(folder: Folder, as_json: options.Json = False) -> None:
    """Make every number of the page again from the raw outputs, and say what does not agree.

    Judged answers become rates and claims, losses and KLs unit by unit their means and bands, adapters norms,
    cosines and trajectories; then the page is drawn anew and compared byte by byte, and each file held
    against the digest that was kept when its stage was finished. No model is loaded and no judge is asked. Of
    what is no study (`narrows mitigations`, `narrows subspace`) only the page is drawn anew.

    Ends with exit code 1 if anything disagrees.

    Example: `narrows report verify runs/own`
    """
    with working():
        from narrows.report import write_report
        from narrows.study.results.verify import verify as verified

        found = verified(folder, write_report)
    if as_json:
        print_json(found.as_dict())
    else:
        for one in found.mismatches[:LISTED]:
            show_line(f"✕ {one}")
        if len(found.mismatches) > LISTED:
            show_line(f"… and {len(found.mismatches) - LISTED:,} more: --json lists all.")
        for note in found.left_out:
            show_line(f"○ {note}")
        checked = ", ".join(f"{count:,} {name}" for name, count in found.counts.items() if count)
        outcome = "all agree" if found.agrees else f"{len(found.mismatches):,} disagree"
        show_line(f"{folder}: {checked or 'nothing'} checked; {outcome}.")
    if not found.agrees:
        raise typer.Exit(FAILED)
