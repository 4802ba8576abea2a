"""Flags of commands that intervene along directions, and the directions that their files hold."""

from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from narrows.cli.inputs import adapter_name, hub_bar
from narrows.errors import ConfigError

if TYPE_CHECKING:
    from narrows.adapters import Direction

SiteName = Literal["layer", "layers", "writes", "stream"]
"""As in :mod:`narrows.interventions`, which is not imported before it is needed."""

SITE_HELP = (
    "layer: the output of its own layer. layers: of every layer. writes: what embedding, attention and MLP "
    "add to the stream. stream: wherever it is read or written."
)


def load_direction(file: Path) -> "Direction":
    """The direction in a file: by the name that the file says, else its run's or its own.

    Raises:
        AdapterError: it holds no steering vector, or one of zeros.
    """
    from narrows.adapters import Direction
    from narrows.adapters.interchange import on_hub

    with hub_bar(f"fetching {file}") if on_hub(file) else nullcontext():
        one = Direction.load(file)
    return one.renamed(adapter_name(file)) if one.name in (file.stem, file.name) else one


def load_directions(files: Sequence[Path]) -> "dict[str, Direction]":
    """The directions in some files by name: what a file says, else its run's or its own name.

    Where several have one name, their layers tell them apart.

    Raises:
        AdapterError: a file holds no steering vector.
        ConfigError: two have one name and layer.
    """
    found = [load_direction(file) for file in files]
    often = Counter(one.name for one in found)
    named = {f"{one.name} (layer {one.layer})" if often[one.name] > 1 else one.name: one for one in found}
    if len(named) < len(found):
        names = Counter((one.name, one.layer) for one in found)
        name, layer = max(names, key=lambda key: names[key])
        same = [
            str(file)
            for file, one in zip(files, found, strict=True)
            if (one.name, one.layer) == (name, layer)
        ]
        raise ConfigError(
            f"{' and '.join(same)}: directions at layer {layer} with one name, {name!r}. Give each once, "
            "under a file's name of its own."
        )
    return named


Ablate = Annotated[
    list[Path] | None,
    typer.Option(
        "--ablate",
        help="A direction (any steering vector's file, run or hub:owner/name) that is taken out of the "
        "stream while answers are generated; several are taken out together.",
        metavar="FILE",
    ),
]
Site = Annotated[
    SiteName | None,
    typer.Option("--site", help=f"Where --ablate acts (default: layers). {SITE_HELP}"),
]
