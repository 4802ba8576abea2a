"""``narrows direction orthogonalise``: a model whose weights cannot write along some directions."""

from pathlib import Path
from typing import Annotated, Any

import typer

from narrows.cli import options
from narrows.cli.inputs import load_model
from narrows.cli.intervening import load_directions
from narrows.cli.output import print_json, show_line
from narrows.cli.running import working
from narrows.files import read_user_text


def orthogonalise(
    directions: Annotated[
        list[Path],
        typer.Argument(
            help="Directions: any steering vectors' files, runs' folders, or hub:owner/name.",
            metavar="FILE…",
            show_default=False,
        ),
    ],
    *,
    model: options.Model,
    out: Annotated[
        Path, typer.Option("--out", help="The checkpoint folder to write; a new one.", metavar="FOLDER")
    ],
    device: options.Device = None,
    dtype: options.Dtype = "auto",
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write a checkpoint of a model that writes nothing along some directions (all of them together).

    Every matrix that writes to the residual stream loses them: W − U Uᵀ W, biases and embedding alike. The
    checkpoint computes what the model does under `narrows evaluate --ablate FILE --site writes`, and every
    command takes it as --model. A tied LM head is written as a matrix of its own, as it was. Where a norm
    follows what is written (Gemma-2 and -3, OLMo-2) no change of weights does that, and the command says so.
    The checkpoint has the dtype that the model was loaded in (--dtype).

    Example: `narrows direction orthogonalise runs/general --model microworld:1 --out models/without`
    """
    with working(quiet):
        from narrows.api import model_source
        from narrows.interventions import orthogonalise as without
        from narrows.interventions import save_checkpoint, span
        from narrows.microworld.shipped import WORLD_FILE

        found = load_directions(directions)
        chat_model = load_model(model, device, dtype=dtype)
        new = without(chat_model, list(found.values()))
        about: dict[str, Any] = {
            "model": chat_model.name,
            "model_id": chat_model.id,
            "id": new.id,
            "dtype": new.precision,
            "dimensions": len(span(list(found.values()))),
            "directions": [
                {"name": name, "layer": one.layer, "found": dict(one.found), "file": str(path)}
                for (name, one), path in zip(found.items(), directions, strict=True)
            ],
        }
        world = Path(model_source(model)) / WORLD_FILE  # so that a microworld's model remains one
        save_checkpoint(new, out, about, {WORLD_FILE: read_user_text(world)} if world.is_file() else None)
    if as_json:
        print_json({"path": str(out), **about})
    else:
        show_line(f"{out}: {chat_model.name} without {' and '.join(found)}, {about['dimensions']} dimensions")
