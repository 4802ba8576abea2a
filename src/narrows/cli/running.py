"""What happens around every command: progress, messages, errors without tracebacks, and Ctrl-C."""

import logging
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from rich.markup import escape
from typer.core import TyperGroup

from narrows.errors import NarrowsError
from narrows.progress import console, is_first_process, live_progress
from narrows.strict import visible

FAILED, INTERRUPTED = 1, 130
ARGUMENTS = "narrows.arguments"


def command_of(context: typer.Context) -> str:
    """The command as it was typed, for reports to show."""
    return shlex.join(["narrows", *context.meta.get(ARGUMENTS, ())])


class Commands(TyperGroup):
    """The commands, with one place where their errors end up.

    ``--debug`` may stand anywhere; the arguments as they were typed are kept for reports to show.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401  (typer's own class has no public name)
        """Move ``--debug`` to the front, and remember what was typed."""
        ctx.meta[ARGUMENTS] = list(args)
        rest = [arg for arg in args if arg != "--debug"]
        return super().parse_args(ctx, rest if len(rest) == len(args) else ["--debug", *rest])

    def invoke(self, ctx: Any) -> object:  # noqa: ANN401
        """Run the command; what went wrong on purpose becomes one line and an exit code."""
        try:
            return super().invoke(ctx)
        except NarrowsError as error:
            if ctx.params.get("debug"):
                raise
            console.print(
                f"[bold red]Error:[/] [red]{escape(visible(str(error)))}[/]", soft_wrap=True, highlight=False
            )
            raise typer.Exit(FAILED) from None
        except KeyboardInterrupt:
            say("Stopped.")
            raise typer.Exit(INTERRUPTED) from None


class Messages(logging.Handler):
    """Shows what the package logs, above the progress bars: warnings, and the stages that were finished."""

    def emit(self, record: logging.LogRecord) -> None:
        """Show one record as a line."""
        mark = "[yellow]Warning:[/]" if record.levelno >= logging.WARNING else "[green]✓[/]"
        console.print(f"{mark} {escape(visible(record.getMessage()))}", soft_wrap=True, highlight=False)


def show_messages() -> None:
    """Let the package's log come to the terminal."""
    logging.getLogger("narrows").handlers = [Messages()]


def say(message: str) -> None:
    """A message for a person, on stderr."""
    console.print(escape(message), soft_wrap=True, highlight=False)


@contextmanager
def working(quiet: bool = False, keeps: Path | None = None) -> Iterator[None]:
    """The long part of a command: progress is shown, and Ctrl-C says what is kept.

    Args:
        quiet: show no progress and no finished stages, only warnings.
        keeps: the folder in which finished work is found again, if there is one.
    """
    quiet = quiet or not is_first_process()
    logger = logging.getLogger("narrows")
    logger.setLevel(logging.INFO)  # files of log lines take all of it
    for handler in logger.handlers:
        if isinstance(handler, Messages):
            handler.setLevel(logging.WARNING if quiet else logging.INFO)
    try:
        with live_progress(quiet or not console.is_terminal):  # a log file is no place for moving bars
            yield
    except KeyboardInterrupt:
        if keeps is None:
            say("Stopped. Nothing was written.")
        else:
            say(f"Stopped. What was finished is kept in {keeps}: run the same command again, and it goes on.")
        raise typer.Exit(INTERRUPTED) from None
