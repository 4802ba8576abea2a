"""``narrows world gather``: worlds that were swept in several places, put together."""

from pathlib import Path
from typing import Annotated

import typer

from narrows.cli import options
from narrows.cli.output import print_json
from narrows.cli.running import working
from narrows.cli.world_sweep import show_results


def gather(
    *,
    files: Annotated[
        list[Path],
        typer.Argument(
            help="worlds.json of sweeps of one family; the first has its family.yaml beside it.",
            metavar="FILE...",
            show_default=False,
        ),
    ],
    out: options.Out,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Put the runs of several sweeps of one family together: relations, predictions, page.

    For a family whose worlds were pre-trained and studied on several machines. Everything is taken from the
    runs anew; a run that two files have must have the same numbers in both.

    Writes OUT/worlds.md with figures, OUT/worlds.json and OUT/family.yaml.

    Example: narrows world gather runs/here/worlds.json runs/there/worlds.json --out runs/worlds
    """
    with working(quiet):
        import shutil

        from narrows.files import write_json
        from narrows.report.worlds import write_worlds_page
        from narrows.study.worlds.gathering import joined
        from narrows.study.worlds.running import FAMILY_FILE, RESULTS_FILE

        found = joined(files)
        out.mkdir(parents=True, exist_ok=True)
        results = found.as_json()
        write_json(out / RESULTS_FILE, results)
        if (family := files[0].with_name(FAMILY_FILE)).resolve() != (out / FAMILY_FILE).resolve():
            shutil.copyfile(family, out / FAMILY_FILE)
        write_worlds_page(results, out)
    if as_json:
        print_json(results)
    else:
        show_results(found, out)
