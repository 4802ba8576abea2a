"""What commands print on stdout: a result for a person, or as JSON for a program."""

import json
from collections.abc import Iterable, Sequence

import typer
from pydantic import BaseModel
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from narrows.progress import is_first_process
from narrows.strict import visible


class _Console(Console):
    """A console on which what a file says can neither move the cursor nor turn the line around."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """What is shown, each letter that is none replaced."""
        for part in super().render(renderable, options):
            yield part if part.control else Segment(visible(part.text), part.style)


stdout = _Console(quiet=not is_first_process())


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


def memory_line() -> str:
    """The most memory this process has held, for a person; empty where the system does not say."""
    held, on_gpu = peak_memory(), peak_gpu_memory()
    if held is None:
        return ""
    return f"At most {held:.1f} GB of memory" + (f" and {on_gpu:.1f} GB on the GPUs" if on_gpu else "")


def peak_gpu_memory() -> float | None:
    """The most memory that tensors of this process have held on its GPUs, in GB; None without one."""
    import torch

    if not torch.cuda.is_available():
        return None
    return sum(torch.cuda.max_memory_allocated(one) for one in range(torch.cuda.device_count())) / 1e9


def peak_memory() -> float | None:
    """The most memory this process has held, in GB; None where the system does not say."""
    from narrows.models.allocation import most_held

    held = most_held()
    return None if held is None else held / 1e9
