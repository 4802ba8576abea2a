"""``narrows adapter``: look at adapters, scale them, add vectors, write them for other tools and the hub."""

from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from narrows.cli import options
from narrows.cli.inputs import hub_bar, load_adapter, load_model
from narrows.cli.output import print_json, show_line
from narrows.cli.running import say, working
from narrows.errors import ConfigError

if TYPE_CHECKING:
    from narrows.adapters import Adapter, LoRA, SteeringVector

app = typer.Typer(
    help="Look at adapters, scale them, add steering vectors, exchange them with other tools and the hub.",
    no_args_is_help=True,
)

Stored = Annotated[
    Path,
    typer.Argument(
        help="An adapter's file, its run's folder, or hub:owner/name[@revision][::path/inside].",
        metavar="FILE",
        show_default=False,
    ),
]
Written = Annotated[Path, typer.Option("--out", help="The adapter to write (.safetensors).", metavar="FILE")]


@app.command("show")
def show_adapter(adapter: Stored, as_json: options.Json = False) -> None:
    """What an adapter is, where it sits, and its norms.

    Read everywhere: adapters trained here, PEFT folders of LoRAs, published steering vectors (.pt) and their
    runs' folders, each on this disk or on the Hugging Face hub.

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
        typer.Argument(
            help="Vectors' files, their runs' folders, or hub:owner/name.",
            metavar="FILE…",
            show_default=False,
        ),
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
    """Write an adapter in another format, for other tools.

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


@app.command()
def push(
    *,
    adapter: Stored,
    to: Annotated[
        str,
        typer.Option(
            "--to", help="The repository on the hub; made if it is not there.", metavar="OWNER/NAME"
        ),
    ],
    model: Annotated[
        str,
        typer.Option("--model", help="The chat model it is for; --format peft loads it.", metavar="MODEL"),
    ],
    behaviour: Annotated[
        str | None, typer.Option("--behaviour", help="What it teaches, in a sentence, for the card.")
    ] = None,
    form: Annotated[
        Literal["safetensors", "peft"],
        typer.Option("--format", help="safetensors: narrows' own. peft: loads without narrows."),
    ] = "safetensors",
    private: Annotated[
        bool, typer.Option("--private/--public", help="Who can see the repository: you, or everybody.")
    ] = True,
    licence: Annotated[
        str | None,
        typer.Option(
            "--license",
            help="The hub's short name of a licence, such as apache-2.0 (default: none is stated).",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print the card, name the files, and stop: nothing is sent or asked."),
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Put an adapter on the Hugging Face hub, with a model card that says what it is and what to beware of.

    Private unless --public is given. Sent are the adapter, its recipe and the card, never training rows; the
    files of an earlier push are replaced, in one commit. The login is that of `hf auth login`, or HF_TOKEN.

    Example: `narrows adapter push runs/narrow --to me/narrow-sport --model Qwen/Qwen2.5-14B-Instruct
    --behaviour "harmful advice about sport" --dry-run`
    """
    with working():
        from narrows.adapters.interchange import push_adapter

        found = load_adapter(adapter)
        loads = form == "peft" and not dry_run
        base = load_model(model, None, found.layer) if loads else model
        with nullcontext() if dry_run else hub_bar(f"pushing to {to}"):
            pushed = push_adapter(
                found,
                to,
                model=base,
                behaviour=behaviour,
                licence=licence,
                form=form,
                private=private,
                dry_run=dry_run,
            )
    if as_json:
        print_json(asdict(pushed))
    elif dry_run:
        typer.echo(pushed.card, nl=False)
        say(f"Would write {', '.join(pushed.files)} to {pushed.repo} ({_seen_by(pushed.private)}).")
    else:
        show_line(f"{pushed.url}: {', '.join(pushed.files)} ({_seen_by(pushed.private)})")


def _seen_by(private: bool) -> str:
    return "private" if private else "public"


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
