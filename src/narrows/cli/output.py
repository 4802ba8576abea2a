"""What commands print on stdout: a result for a person, or as JSON for a program."""

import json
import sys
from collections.abc import Sequence

import typer
from pydantic import BaseModel
from rich.console import Console, RenderableType

from narrows.progress import is_first_process

stdout = Console(quiet=not is_first_process())


def print_json(value: object) -> None:
    """Print a result for a program: the only thing that ``--json`` lets onto stdout."""
    if not stdout.quiet:
        typer.echo(json.dumps(value, indent=2, allow_nan=False))


def as_rows(records: Sequence[BaseModel]) -> list[dict[str, object]]:
    """Rows of a summary as plain values."""
    return [record.model_dump(mode="json") for record in records]


def show(*things: RenderableType) -> None:
    """Print a result for a person."""
    for thing in things:
        stdout.print(thing, highlight=False)


def show_line(text: str) -> None:
    """Print one line of a result, never broken and never read as markup."""
    stdout.print(text, markup=False, highlight=False, soft_wrap=True)


def peak_memory() -> float | None:
    """The most memory this process has held, in GB; None where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
