"""What the commands of a study have in common: its file, its folder, its overrides."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from narrows.study.config import StudyConfig

File = Annotated[
    str,
    typer.Argument(
        help="The study: a YAML file, or the name of a preset (`narrows study presets`).",
        metavar="FILE",
        show_default=False,
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out", help="The study's folder (default: runs/NAME). The same folder goes on.", metavar="DIR"
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        "-s",
        help="Put a value over the file's: FIELD=VALUE, with dots between the levels and the value as YAML, "
        "as in measure.samples=4; give it several times.",
        metavar="FIELD=VALUE",
    ),
]


def load(file: str, overrides: list[str] | None) -> "StudyConfig":
    """The effective study.

    Raises:
        ConfigError: the file cannot be read, or a field is unknown or has a wrong value.
    """
    from narrows.study.config import load_study

    return load_study(file, overrides or ())


def folder(config: "StudyConfig", out: Path | None) -> Path:
    """Where the study lives."""
    return out or Path("runs") / config.name
