"""``narrows adapter``: look at adapters, scale them, add vectors, write them for other tools."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from narrows.cli import options
from narrows.cli.inputs import load_adapter, load_model
from narrows.cli.output import print_json, show_line
from narrows.cli.running import working
from narrows.errors import ConfigError

if TYPE_CHECKING:
    from narrows.adapters import Adapter, LoRA, SteeringVector

app = typer.Typer(help="Look at adapters, scale them, add steering vectors.", no_args_is_help=True)

Stored = Annotated[
    Path, typer.Argument(help="An adapter's file, or its run's folder.", metavar="FILE", show_default=False)
]
Written = Annotated[Path, typer.Option("--out", help="The adapter to write (.safetensors).", metavar="FILE")]


@app.command("show")
def show_adapter(adapter: Stored, as_json: options.Json = False) -> None:
    """What an adapter is, where it sits, and its norms.

    Example: `narrows adapter show runs/narrow`
    """
    with working():
        found = load_adapter(adapter)
    _tell(found, adapter, as_json)


@app.command()
def scale(
    adapter: Stored,
    out: Written,
    by: Annotated[float | None, typer.Option("--by", help="Multiply its action by this.")] = None,
    to: Annotated[
        float | None, typer.Option("--to", help="Give it this effective norm (‖αv‖, ‖sBA‖).")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Write an adapter with another norm.

    Example: `narrows adapter scale runs/narrow --by 1.5 --out narrow-1.5.safetensors`
    """
    if (by is None) == (to is None):
        raise ConfigError("give --by or --to, and only one of them.")
    with working():
        found = load_adapter(adapter)
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
    """Write the weighted sum of steering vectors at one layer; the first one's α is kept.

    Example: `narrows adapter combine runs/general runs/narrow --weight 1 --weight -1 --out gap.safetensors`
    """
    weights = weight or [1.0] * len(vectors)
    if len(weights) != len(vectors):
        raise ConfigError(f"there are {len(vectors)} vectors and {len(weights)} --weight: give one for each.")
    with working():
        loaded = [_load_vector(path) for path in vectors]
        alpha = loaded[0].alpha
        parts = [one.with_alpha(alpha).scaled(factor) for one, factor in zip(loaded, weights, strict=True)]
        result = parts[0]
        for part in parts[1:]:
            result = result + part
        _save(result, out)
    _tell(result, out, as_json)


@app.command()
def export(
    adapter: Stored,
    to: Annotated[
        Literal["safetensors", "peft", "gguf"],
        typer.Option(
            "--to",
            help="safetensors: narrows' own. peft: a folder that loads without narrows. gguf: a control "
            "vector for llama.cpp and repeng.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="The file (peft: the folder) to write.", metavar="PATH")],
    model: Annotated[
        str | None, typer.Option("--model", help="The chat model it is for; peft and gguf need it.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Write an adapter in another format. Published vectors (.pt) and PEFT folders are read everywhere.

    Example: `narrows adapter export runs/narrow --to gguf --model microworld:1 --out narrow.gguf`
    """
    if to != "safetensors" and model is None:
        raise ConfigError(f"--to {to} needs --model: the chat model that the adapter is for.")
    with working():
        from narrows.adapters import SteeringVector
        from narrows.adapters.interchange import write_gguf, write_peft

        found = load_adapter(adapter)
        if out.exists():
            raise ConfigError(f"{out} is there already: choose another --out.")
        if to == "safetensors":
            found.save(out)
        elif to == "peft":
            write_peft(found, out, load_model(str(model), None, None))
        elif isinstance(found, SteeringVector):
            chat_model = load_model(str(model), None, found.layer)
            found.check(chat_model.model)
            write_gguf(found, out, str(chat_model.model.config.get_text_config().model_type))
        else:
            raise ConfigError("a control vector holds no LoRA: export it --to peft.")
    if as_json:
        print_json({"path": str(out), "format": to, "kind": found.kind})
    else:
        show_line(str(out))


def _load_vector(path: Path) -> "SteeringVector":
    """A steering vector, and nothing else."""
    from narrows.adapters import SteeringVector

    found = load_adapter(path)
    if not isinstance(found, SteeringVector):
        raise ConfigError(f"{path} is of kind {found.kind}; only steering vectors can be combined.")
    return found


def _save(adapter: "Adapter", out: Path) -> None:
    """Write an adapter where none is yet."""
    if out.exists():
        raise ConfigError(f"{out} is there already: choose another --out.")
    adapter.save(out)


def _tell(adapter: "SteeringVector | LoRA", path: Path, as_json: bool) -> None:
    from narrows.adapters import SteeringVector

    facts: dict[str, Any] = {
        "path": str(path),
        "kind": adapter.kind,
        "layer": adapter.layer,
        "alpha": adapter.alpha,
        "norm": adapter.norm,
        "effective_norm": adapter.effective_norm,
    }
    if not isinstance(adapter, SteeringVector):
        facts |= {"rank": adapter.rank, "rslora": adapter.rslora, "norms": adapter.norms}
        place = f"rank {adapter.rank} · {', '.join(adapter.factors)} · α {adapter.alpha:g}"
        norms = f"‖BA‖ {adapter.norm:.4g} · ‖sBA‖ {adapter.effective_norm:.4g}"
    else:
        facts |= {"hidden": len(adapter.vector)}
        place = f"layer {adapter.layer} · width {facts['hidden']} · α {adapter.alpha:g}"
        norms = f"‖v‖ {adapter.norm:.4g} · ‖αv‖ {adapter.effective_norm:.4g}"
    if as_json:
        print_json(facts | {"metadata": adapter.metadata})
    else:
        show_line(f"{path}: {place} · {norms}")
