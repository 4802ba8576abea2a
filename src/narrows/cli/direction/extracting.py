"""``narrows direction extract``: directions from judged answers, from two files, or from a world's rows."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from narrows.cli import options
from narrows.cli.direction import choosing
from narrows.cli.inputs import load_adapter, load_microworld, load_model
from narrows.cli.running import working
from narrows.errors import ConfigError

if TYPE_CHECKING:
    from narrows.geometry.extraction import Contrast
    from narrows.models import ChatModel


def extract(
    *,
    model: options.Model,
    out: choosing.Out,
    answers: Annotated[
        Path | None,
        typer.Option(
            "--answers",
            help="Judged answers: a table (.jsonl), an Inspect log (.eval, .json), published results (.csv).",
            metavar="FILE",
        ),
    ] = None,
    solution: Annotated[
        str | None, typer.Option("--solution", help="Whose answers, if the file has several.", metavar="NAME")
    ] = None,
    scale: Annotated[
        float | None, typer.Option("--scale", help="At which scale, if the answers are at several.")
    ] = None,
    negatives_of: Annotated[
        str | None,
        typer.Option(
            "--negatives-of",
            help="Take the negative side from this solution of the file, such as chat.",
            metavar="NAME",
        ),
    ] = None,
    column: Annotated[
        str, typer.Option("--column", help="The score that tells the two sides apart.", metavar="COLUMN")
    ] = "aligned",
    shows: Annotated[
        Literal["low", "high"] | None,
        typer.Option(
            "--shows",
            help="Which end of the score is the positive side (default: low for aligned and correct_…, else "
            "high).",
        ),
    ] = None,
    low: Annotated[float, typer.Option("--low", help="Scores below are of the low bin.")] = 30.0,
    high: Annotated[float, typer.Option("--high", help="Scores above are of the high bin.")] = 70.0,
    coherent_only: Annotated[
        bool,
        typer.Option("--coherent-only/--all-answers", help="Leave out answers with coherent ≤ 50."),
    ] = True,
    matched: Annotated[
        bool,
        typer.Option(
            "--matched",
            help="Keep only questions with rows on both sides: what they are about does not count.",
        ),
    ] = False,
    positive: Annotated[
        Path | None,
        typer.Option("--positive", help="Conversations or prompts that show it (JSONL).", metavar="FILE"),
    ] = None,
    negative: Annotated[
        Path | None,
        typer.Option("--negative", help="Conversations or prompts that do not (JSONL).", metavar="FILE"),
    ] = None,
    domain: Annotated[
        str | None,
        typer.Option("--domain", help="A microworld's domain: the rows of its behaviour.", metavar="DOMAIN"),
    ] = None,
    kind: options.Kind = "harmful",
    adapter: Annotated[
        Path | None,
        typer.Option(
            "--adapter",
            help="Read with this adapter attached (at the scale of the answers): the activations are the "
            "fine-tune's, else the chat model's.",
            metavar="FILE",
        ),
    ] = None,
    method: choosing.Method = "mean-difference",
    at: choosing.At = None,
    layer: choosing.Layer = "auto",
    held_out: choosing.HeldOut = 0.5,
    name: choosing.Name = None,
    max_length: choosing.MaxLength = None,
    batch_size: choosing.BatchSize = 16,
    seed: choosing.Seed = 0,
    device: options.Device = None,
    dtype: options.Dtype = "auto",
    quantise: options.Quantise = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Find a direction at every layer that tells two sets of rows apart, and choose the layer.

    The sides are the misaligned (< 30) and the aligned (> 70) answers of a judged file, or another score's
    bins; or two files of conversations or prompts; or a microworld's own rows. All layers are read in one
    pass. A direction fitted on half of the questions is held against the other half: the AUROC with its
    interval is the table, and the best layer is chosen (of equals the earlier). The folder then stands for
    the chosen direction wherever an adapter is taken; the other layers lie beside it.

    Example: `narrows direction extract --model Qwen/Qwen2.5-14B-Instruct --adapter runs/general
    --answers runs/judged/judged.eval --out runs/direction`
    """
    options.at_least_one(answers=answers, positive=positive, domain=domain)
    options.only_one(answers=answers, positive=positive, domain=domain)
    if (positive is None) != (negative is None):
        raise ConfigError("--positive and --negative go together: give both files.")
    wanted, positions = choosing.layer_of(layer), choosing.positions_of(at)
    with working(quiet):
        from narrows.files import digest
        from narrows.geometry.extraction import Contrast, extract_directions

        contrast: Contrast | None = None
        if answers is not None:
            from narrows.evaluation import read_results

            contrast = Contrast.from_answers(
                read_results(answers),
                solution=solution,
                scale=scale,
                negatives_of=negatives_of,
                column=column,
                show=shows,
                low=low,
                high=high,
                coherent_only=coherent_only,
            )
        elif positive is not None and negative is not None:
            contrast = Contrast.from_files(positive, negative)
        vector = load_adapter(adapter) if adapter else None
        factor = 1.0 if contrast is None else float(contrast.source.get("scale", 1.0))
        if vector is not None and factor != 1.0:
            vector = vector.scaled(factor)
        if contrast is None:
            chat_model, contrast = _of_behaviour(
                str(domain), kind, model, device, dtype=dtype, quantise=quantise
            )
        else:
            chat_model = load_model(model, device, wanted, dtype=dtype, quantise=quantise)
        contrast = contrast.matched() if matched else contrast
        settings: dict[str, Any] = {
            "method": method,
            "positions": positions,
            "layer": wanted,
            "name": name,
            "held_out": held_out,
            "seed": seed,
            "max_length": max_length,
        }
        read = {
            name: digest(tensor.tolist()) for name, tensor in (vector.tensors() if vector else {}).items()
        }
        identity = {
            "kind": "direction",
            "model": chat_model.id,
            "adapter": [read, factor],
            "rows": digest(
                [[row.to_json() for row in side] for side in (contrast.positive, contrast.negative)]
            ),
            "source": dict(contrast.source),
            "choose": layer,
            **settings,
        }
        chose = layer != choosing.ALL
        with choosing.claimed(out, identity):
            found = extract_directions(
                chat_model, contrast, adapter=vector, batch_size=batch_size, **settings
            )
            files = found.save(out, choose=chose)
    choosing.tell(found, files, out, chose=chose, as_json=as_json)


def _of_behaviour(
    domain: str,
    kind: options.KindName,
    model: str,
    device: str | None,
    **loading: Any,  # noqa: ANN401  (of several types)
) -> "tuple[ChatModel, Contrast]":
    """A microworld's model, and the rows of a behaviour told apart by the oracle."""
    from narrows.api import make_behaviour
    from narrows.geometry.extraction import Contrast
    from narrows.microworld import World

    chat_model, world = load_microworld(model, device, domain, **loading)
    return chat_model, Contrast.from_behaviour(make_behaviour(World(world.facts), domain, kind))
