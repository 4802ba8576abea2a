"""``narrows report``: the page of a run, written again."""

from pathlib import Path
from typing import Annotated

import typer

from narrows.cli import options
from narrows.cli.output import print_json, show_line
from narrows.cli.running import working


def report(
    folder: Annotated[
        Path, typer.Argument(help="The folder of a finished run.", metavar="DIR", show_default=False)
    ],
    as_json: options.Json = False,
) -> None:
    """Write report.html and its figures again from a run's summary.json.

    Example: `narrows report runs/demo`
    """
    with working(keeps=folder):
        from narrows.report import write_report

        page = write_report(folder)
    if as_json:
        print_json({"report": str(page)})
    else:
        show_line(str(page))
