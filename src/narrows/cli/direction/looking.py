"""``narrows direction singular``, ``random`` and ``show``."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from narrows.cli import options
from narrows.cli.direction import choosing
from narrows.cli.inputs import load_adapter, load_model
from narrows.cli.intervening import load_direction
from narrows.cli.output import print_json, show, show_line
from narrows.cli.running import working
from narrows.cli.tables import plain_table
from narrows.errors import ConfigError


def singular(
    adapter: Annotated[
        Path,
        typer.Argument(
            help="A LoRA: its file, its run's folder, a PEFT folder, or hub:owner/name.",
            metavar="ADAPTER",
            show_default=False,
        ),
    ],
    *,
    out: choosing.Out,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            help="The chat model it is for: the LoRA is checked against it, and norms behind its modules are "
            "seen.",
            metavar="MODEL",
        ),
    ] = None,
    count: Annotated[int, typer.Option("--count", help="Of each module's largest ones.", min=1)] = 1,
    device: options.Device = None,
    as_json: options.Json = False,
) -> None:
    """Write the top singular directions of a LoRA that lie in the residual stream.

    Of modules that write to the stream (down_proj, o_proj) it is what they write: left-singular vectors of
    s·B·A. Of modules that read it (q, k, v, gate, up) what they read: right-singular ones, in the stream as
    the layer's norm leaves it. The other side of each lies inside the layer, and is listed but not written.
    Signs are arbitrary.

    Example: `narrows direction singular runs/rank-1 --model microworld:1 --out runs/singular`
    """
    with working():
        from narrows.adapters import LoRA
        from narrows.files import claim_run_folder, digest
        from narrows.geometry.extraction import singular_directions

        lora = load_adapter(adapter)
        if not isinstance(lora, LoRA):
            raise ConfigError(f"{adapter} is a {lora.kind} vector, which is one direction as it is.")
        chat_model = load_model(model, device) if model else None
        found = singular_directions(lora, count, None if chat_model is None else chat_model.model)
        identity = digest([[name, tensor.tolist()] for name, tensor in lora.tensors().items()])
        claim_run_folder(
            out,
            {
                "kind": "singular",
                "adapter": identity,
                "scaling": lora.scaling,
                "count": count,
                "model": model,
            },
        )
        rows: list[dict[str, Any]] = []
        for one in found:
            file = None
            if one.in_stream:
                direction = one.direction
                file = str(direction.save(out / f"{direction.name}.safetensors"))
            rows.append(
                {
                    "module": one.module,
                    "role": one.role,
                    "place": one.place,
                    "singular_value": one.value,
                    "share": one.share,
                    "space": one.space,
                    "file": file,
                }
            )
    if as_json:
        print_json(rows)
        return
    table = plain_table("Singular directions", "module", "", "lies in", "value", "share", words=3)
    for row in rows:
        table.add_row(
            escape(f"{row['module']} {row['place']}"),
            row["role"],
            row["space"],
            f"{row['singular_value']:.4g}",
            f"{100 * row['share']:.0f} %",
            style="" if row["file"] else "dim",
        )
    written = sum(row["file"] is not None for row in rows)
    show(table, "")
    show_line(f"{out}: {written} of {len(rows)} lie in the residual stream and are written")


def random(
    *,
    model: options.Model,
    layer: Annotated[int, typer.Option("--layer", help="0-indexed decoder layer.", min=0)],
    out: choosing.Out,
    count: Annotated[int, typer.Option("--count", help="How many.", min=1)] = 5,
    texts: Annotated[
        Path | None,
        typer.Option(
            "--texts",
            help="Draw them where the residual stream varies on these texts (.txt, .jsonl): the harder "
            "control (default: all directions alike).",
            metavar="FILE",
        ),
    ] = None,
    seed: choosing.Seed = 0,
    device: options.Device = None,
    dtype: options.Dtype = "auto",
    as_json: options.Json = False,
) -> None:
    """Write random directions: the control beside every direction that was found.

    Example: `narrows direction random --model microworld:1 --layer 2 --count 5 --out runs/random`
    """
    with working():
        from narrows.files import claim_run_folder, digest
        from narrows.geometry.extraction import random_directions
        from narrows.models import check_layer, residual_covariance

        chat_model = load_model(model, device, dtype=dtype)
        check_layer(chat_model.model, layer)
        covariance, said = None, None
        if texts is not None:
            from narrows.chat.corpora import read_texts

            groups = read_texts(str(texts), shortest=0)
            plain = [text for some in groups.values() for text in some]
            said = digest(plain)
            covariance = residual_covariance(
                chat_model, layer, [chat_model.renderer.text(text, 512) for text in plain]
            )
        found = random_directions(chat_model.hidden, layer, count, covariance=covariance, seed=seed)
        claim_run_folder(
            out,
            {
                "kind": "random",
                "model": chat_model.id,
                "layer": layer,
                "count": count,
                "texts": said,
                "seed": seed,
            },
        )
        files = [str(one.save(out / f"{one.name}.safetensors")) for one in found]
    if as_json:
        print_json({"out": str(out), "files": files, "layer": layer, "drawn": found[0].found["drawn"]})
    else:
        show_line(f"{out}: {count} random directions at layer {layer}, {found[0].found['drawn']}")


def show_directions(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Directions' or steering vectors' files, their folders, or hub:owner/name.",
            metavar="FILE…",
            show_default=False,
        ),
    ],
    as_json: options.Json = False,
) -> None:
    """What directions are, where they lie, and how they were found.

    Example: `narrows direction show runs/direction runs/random/random-0.safetensors`
    """
    with working():
        rows: list[dict[str, Any]] = []
        for path in files:
            one = load_direction(path)
            rows.append(
                {
                    "path": str(path),
                    "name": one.name,
                    "layer": one.layer,
                    "hidden": len(one.unit),
                    "length": one.length,
                    "found": dict(one.found),
                }
            )
    if as_json:
        print_json(rows)
        return
    table = plain_table("Directions", "name", "found by", "layer", "width", "length", "AUROC", words=2)
    for row in rows:
        found = row["found"]
        how = " · ".join(str(found[key]) for key in ("method", "positions", "module", "role") if key in found)
        auroc = found.get("auroc")
        table.add_row(
            escape(row["name"]),
            escape(how or "not said"),
            str(row["layer"]),
            str(row["hidden"]),
            f"{row['length']:.4g}",
            f"{auroc:.3f}" if isinstance(auroc, float) else "–",
        )
    show(table)
