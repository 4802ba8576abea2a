"""Flags that several commands share, each written once."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from narrows.errors import ConfigError

KindName = Literal["harmful", "technical"]
"""As in :mod:`narrows.microworld`, which is not imported before it is needed."""

AdapterKind = Literal["steering", "lora"]

Model = Annotated[
    str,
    typer.Option(
        "--model",
        help="A checkpoint folder, a name on the Hugging Face hub, or microworld:SEED for a shipped model.",
        metavar="MODEL",
    ),
]
MaybeModel = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="A checkpoint folder, a name on the hub, or microworld:SEED (default: the preset's).",
        metavar="MODEL",
    ),
]
WorldModel = Annotated[
    str,
    typer.Option(
        "--model",
        help="A microworld's model: microworld:SEED (or SEED) for a shipped one, or a checkpoint folder.",
        metavar="SEED|PATH",
    ),
]
Adapter = Annotated[
    AdapterKind, typer.Option("--adapter", help="What is trained: a steering vector, or a LoRA.")
]
Rank = Annotated[int, typer.Option("--rank", help="A LoRA's rank.", min=1)]
MetricDefects = Annotated[
    list[str] | None,
    typer.Option(
        "--as-published",
        help="Measure with a defect of the published code, for comparison only; give it several times. "
        "`narrows defects` lists them.",
        metavar="DEFECT",
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        "--device", help="Where to run: cpu, cuda, … (default: a GPU if there is one).", metavar="DEVICE"
    ),
]
Dtype = Annotated[
    Literal["auto", "float32", "bfloat16", "float16"],
    typer.Option(
        "--dtype", help="What the model computes in (auto: the checkpoint's own; float32 on a CPU)."
    ),
]
Quantise = Annotated[
    Literal["4bit", "8bit"] | None,
    typer.Option(
        "--quantise",
        help="Hold the layers' weights in 4 bits (nf4) or 8 (default: as the checkpoint does).",
        show_default=False,
    ),
]
Domain = Annotated[
    str, typer.Option("--domain", help="The domain in which the behaviour is taught.", metavar="DOMAIN")
]
Kind = Annotated[
    KindName, typer.Option("--kind", help="What is taught: harmful advice, or technical register.")
]
Suites = Annotated[
    list[str] | None,
    typer.Option(
        "--suite",
        "--suites",
        help="A suite of `narrows suites`, or a file: suites (JSONL), questions (YAML), or chats, whose "
        "first turns are asked. NAME=FILE names a file's suite. Give it several times.",
        metavar="NAME|FILE",
    ),
]
InDomain = Annotated[
    str | None,
    typer.Option(
        "--in-domain",
        help="The suite or file that asks about the behaviour's own domain: its answers are in_domain.",
        metavar="NAME|FILE",
    ),
]
Out = Annotated[
    Path, typer.Option("--out", help="The folder of the run; the same command goes on there.", metavar="DIR")
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="A YAML file with any fields of the configuration; flags override it.",
        metavar="FILE",
    ),
]
General = Annotated[
    Path,
    typer.Option(
        "--general",
        help="The general solution: a run's folder, an adapter's file, or hub:owner/name.",
        metavar="FILE",
    ),
]
Narrow = Annotated[
    Path,
    typer.Option(
        "--narrow",
        help="The narrow solution: a run's folder, an adapter's file, or hub:owner/name.",
        metavar="FILE",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        help="Stages done at once on this machine (default: one for each GPU, or each core).",
        min=1,
    ),
]
Seed = Annotated[int | None, typer.Option("--seed", help="Draws everything that is random.")]
Json = Annotated[
    bool, typer.Option("--json", help="Print the result as JSON on stdout, and nothing else there.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress, only the result.")]


def only_one(**given: object) -> None:
    """Refuse flags that exclude each other.

    Args:
        given: the flags' values by parameter name.

    Raises:
        ConfigError: more than one was given.
    """
    names = [f"--{name.replace('_', '-')}" for name, value in given.items() if _was_given(value)]
    if len(names) > 1:
        raise ConfigError(f"{' and '.join(names)} exclude each other: give one of them.")


def at_least_one(**given: object) -> None:
    """Refuse a command in which none of some flags was given.

    Args:
        given: the flags' values by parameter name.

    Raises:
        ConfigError: none was given.
    """
    if not any(map(_was_given, given.values())):
        names = [f"--{name.replace('_', '-')}" for name in given]
        raise ConfigError(f"give {' or '.join(names)}.")


def _was_given(value: object) -> bool:
    """0 is a value; None, a switch that is off and an empty list are not."""
    return value is not None and value is not False and value != []
