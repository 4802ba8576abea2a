"""``narrows vector``: look at steering vectors, scale them, add them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from narrows.cli import options
from narrows.cli.inputs import load_adapter
from narrows.cli.output import print_json, show_line
from narrows.cli.running import working
from narrows.errors import ConfigError

if TYPE_CHECKING:
    from narrows.adapters import SteeringVector

app = typer.Typer(help="Look at steering vectors, scale them, add them.", no_args_is_help=True)

Vector = Annotated[
    Path, typer.Argument(help="A vector's file, or its run's folder.", metavar="FILE", show_default=False)
]
Written = Annotated[Path, typer.Option("--out", help="The vector to write (.safetensors).", metavar="FILE")]


@app.command("show")
def show_vector(vector: Vector, as_json: options.Json = False) -> None:
    """Where a vector sits, its width and its norms.

    Example: `narrows vector show runs/narrow`
    """
    with working():
        found = load_adapter(vector)
    _tell(found, vector, as_json)


@app.command()
def scale(
    vector: Vector,
    out: Written,
    by: Annotated[float | None, typer.Option("--by", help="Multiply the vector by this.")] = None,
    to: Annotated[float | None, typer.Option("--to", help="Give it this effective norm ‖αv‖.")] = None,
    as_json: options.Json = False,
) -> None:
    """Write a vector with another length.

    Example: `narrows vector scale runs/narrow --by 1.5 --out narrow-1.5.safetensors`
    """
    if (by is None) == (to is None):
        raise ConfigError("give --by or --to, and only one of them.")
    with working():
        found = load_adapter(vector)
        result = found.scaled(by) if by is not None else found.scaled_to(to or 0.0)
        _save(result, out)
    _tell(result, out, as_json)


@app.command()
def combine(
    vectors: Annotated[
        list[Path],
        typer.Argument(help="Vectors' files, or their runs' folders.", metavar="FILE…", show_default=False),
    ],
    out: Written,
    weight: Annotated[
        list[float] | None, typer.Option(help="Each vector's factor, in order (default: 1 for each).")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Write the weighted sum of vectors at one layer; the first one's α is kept.

    Example: `narrows vector combine runs/general runs/narrow --weight 1 --weight -1 --out gap.safetensors`
    """
    weights = weight or [1.0] * len(vectors)
    if len(weights) != len(vectors):
        raise ConfigError(f"there are {len(vectors)} vectors and {len(weights)} --weight: give one for each.")
    with working():
        loaded = [load_adapter(path) for path in vectors]
        alpha = loaded[0].alpha
        parts = [one.with_alpha(alpha).scaled(factor) for one, factor in zip(loaded, weights, strict=True)]
        result = parts[0]
        for part in parts[1:]:
            result = result + part
        _save(result, out)
    _tell(result, out, as_json)


def _save(vector: "SteeringVector", out: Path) -> None:
    """Write a vector where none is yet."""
    if out.exists():
        raise ConfigError(f"{out} is there already: choose another --out.")
    vector.save(out)


def _tell(vector: "SteeringVector", path: Path, as_json: bool) -> None:
    facts: dict[str, Any] = {
        "path": str(path),
        "layer": vector.layer,
        "hidden": len(vector.vector),
        "alpha": vector.alpha,
        "norm": vector.norm,
        "effective_norm": vector.effective_norm,
    }
    if as_json:
        print_json(facts | {"metadata": vector.metadata})
        return
    norms = f"‖v‖ {vector.norm:.4g} · ‖αv‖ {vector.effective_norm:.4g}"
    show_line(f"{path}: layer {vector.layer} · width {facts['hidden']} · α {vector.alpha:g} · {norms}")
