"""``narrows efficiency``, ``stability`` and ``significance``: the three metrics of two solutions."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from narrows.cli import options
from narrows.cli.inputs import load_adapter, load_model
from narrows.cli.output import as_rows, memory_line, print_json, show
from narrows.cli.running import say, working
from narrows.cli.tables import plain_table

if TYPE_CHECKING:
    from rich.table import Table

    from narrows.adapters import LoRA, SteeringVector
    from narrows.chat import Conversation
    from narrows.metrics import Curve
    from narrows.models import ChatModel
    from narrows.models.quantised import Bits

Train = Annotated[
    Path,
    typer.Option("--train", help="The training rows whose loss is measured, JSONL of chats.", metavar="FILE"),
]
Rows = Annotated[int, typer.Option("--rows", help="How many of the rows, drawn by the seed.")]
MaxLength = Annotated[int | None, typer.Option("--max-length", help="Tokens kept of a row.")]
DrawSeed = Annotated[int, typer.Option("--seed", help="Draws the rows, and what else is random.")]
GENERAL, NARROW = "general", "narrow"


def efficiency(
    *,
    model: options.Model,
    general: options.General,
    narrow: options.Narrow,
    train: Train,
    norm: Annotated[
        list[float] | None,
        typer.Option(
            help="An effective norm ‖αv‖; give it several times (default: 20 % … 200 % of the mean norm)."
        ),
    ] = None,
    rows: Rows = 100,
    max_length: MaxLength = None,
    seed: DrawSeed = 0,
    as_published: options.MetricDefects = None,
    device: options.Device = None,
    dtype: options.Dtype = "auto",
    quantise: options.Quantise = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Efficiency: both solutions' loss on the training rows when they are scaled to the same norms.

    --json prints rows as under "efficiency" in summary.json.

    Example: `narrows efficiency --model microworld:1 --general runs/general --narrow runs/narrow
    --train garden/train.jsonl`
    """
    with working(quiet):
        from narrows import api
        from narrows.metrics import published
        from narrows.study.summarising import efficiency_rows

        chat_model, ends = _load(model, general, narrow, device, dtype=dtype, quantise=quantise)
        curves = api.efficiency(
            chat_model,
            _sample(train, rows, seed),
            ends,
            norm or None,
            max_length=max_length,
            as_published=published.checked(as_published or ()),
        )
        found = efficiency_rows(curves)
    if not quiet:
        say(memory_line())
    if as_json:
        print_json(as_rows(found))
    else:
        show(_two_curves("Loss at equal norm, nats per response token", "‖αv‖", curves))


def stability(
    *,
    model: options.Model,
    general: options.General,
    narrow: options.Narrow,
    train: Train,
    epsilon: Annotated[
        list[float] | None,
        typer.Option(help="A noise ratio, 0 to 1; give it several times (default: the paper's)."),
    ] = None,
    draws: Annotated[int, typer.Option(help="Noise draws for each ε.")] = 10,
    rows: Rows = 100,
    max_length: MaxLength = None,
    seed: DrawSeed = 0,
    as_published: options.MetricDefects = None,
    device: options.Device = None,
    dtype: options.Dtype = "auto",
    quantise: options.Quantise = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Stability: how fast both solutions' loss rises under noise; 0 is unperturbed, 1 the chat model.

    --json prints rows as under "stability" in summary.json.

    Example: `narrows stability --model microworld:1 --general runs/general --narrow runs/narrow
    --train garden/train.jsonl`
    """
    with working(quiet):
        from narrows import api
        from narrows.metrics import published
        from narrows.study.summarising import stability_rows

        chat_model, ends = _load(model, general, narrow, device, dtype=dtype, quantise=quantise)
        curves = api.stability(
            chat_model,
            _sample(train, rows, seed),
            ends,
            epsilons=epsilon or None,
            draws=draws,
            seed=seed,
            max_length=max_length,
            as_published=published.checked(as_published or ()),
        )
        found = stability_rows(curves)
    if not quiet:
        say(memory_line())
    if as_json:
        print_json(as_rows(found))
    else:
        relative = {name: curve.relative for name, curve in curves.items()}
        show(_two_curves("Relative rise of the loss under noise", "ε", relative))


def significance(
    *,
    model: options.Model,
    general: options.General,
    narrow: options.Narrow,
    texts: Annotated[
        str,
        typer.Option(
            "--texts",
            help='JSONL (.gz) rows with "text" (and "type"), .txt with empty lines between the texts, or '
            "hub:owner/name[:configuration] (default: FineWeb's sample, as in the paper).",
            metavar="FILE",
        ),
    ] = "hub:HuggingFaceFW/fineweb:sample-10BT",
    texts_count: Annotated[int, typer.Option(help="Texts of each type.", min=1)] = 100,
    shortest: Annotated[int, typer.Option(help="Pass over texts of no more characters.", min=0)] = 100,
    norm: Annotated[
        list[float] | None,
        typer.Option(
            help="An effective norm ‖αv‖; give it several times (default: ten up to the larger one's)."
        ),
    ] = None,
    max_length: Annotated[int, typer.Option(help="Tokens kept of a text.")] = 512,
    seed: DrawSeed = 0,
    as_published: options.MetricDefects = None,
    device: options.Device = None,
    dtype: options.Dtype = "auto",
    quantise: options.Quantise = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Significance: how far each direction moves next-token predictions on ordinary text, beside random ones.

    --json prints rows as under "significance" in summary.json.

    Example: `narrows significance --model microworld:1 --general runs/general --narrow runs/narrow
    --texts garden/texts.jsonl`
    """
    with working(quiet):
        from narrows import api
        from narrows.chat.corpora import read_texts
        from narrows.metrics import published
        from narrows.study.summarising import significance_rows

        read = read_texts(texts, count=texts_count, shortest=shortest)
        chat_model, ends = _load(model, general, narrow, device, dtype=dtype, quantise=quantise)
        curves = api.significance(
            chat_model,
            read,
            ends,
            norm or None,
            max_length=max_length,
            seed=seed,
            as_published=published.checked(as_published or ()),
        )
        found = significance_rows(curves, set(ends))
    if not quiet:
        say(memory_line())
    if as_json:
        print_json(as_rows(found))
        return
    for kind, directions in curves.items():
        show(_significance_table(kind, directions), "")


def _load(
    model: str, general: Path, narrow: Path, device: str | None, *, dtype: str, quantise: "Bits | None"
) -> "tuple[ChatModel, dict[str, SteeringVector | LoRA]]":
    """The model, and the two solutions by name."""
    ends = {GENERAL: load_adapter(general), NARROW: load_adapter(narrow)}
    return load_model(model, device, ends[GENERAL].layer, dtype=dtype, quantise=quantise), ends


def _sample(path: Path, count: int, seed: int) -> "Sequence[Conversation]":
    """A seeded sample of the rows of a file, in its order: the one that studies draw."""
    import numpy as np

    from narrows.chat import read_conversations

    rows = read_conversations(path)
    chosen = np.random.default_rng([seed, 2]).permutation(len(rows))[: max(0, count)]
    return [rows[place] for place in sorted(chosen)]


def _two_curves(title: str, grid: str, curves: "dict[str, Curve]") -> "Table":
    """Both solutions' curves and their difference, point by point."""
    from narrows.report.text import estimate, number

    difference = curves[GENERAL].minus(curves[NARROW])
    table = plain_table(title, grid, GENERAL, NARROW, "general − narrow", "95 %, all points at once", words=0)
    for place, point in enumerate(difference.grid):
        value, interval = estimate(
            float(difference.mean[place]), (float(difference.low[place]), float(difference.high[place]))
        )
        means = [number(float(curves[name].mean[place]), 4) for name in (GENERAL, NARROW)]
        table.add_row(number(float(point)), *means, value, interval.replace("[", "\\["))
    return table


def _significance_table(kind: str, directions: "dict[str, Curve]") -> "Table":
    """The KL of every direction at every norm."""
    from rich.markup import escape

    from narrows.report.text import number

    table = plain_table(f"KL on text of type {escape(kind)}, nats per token", "‖αv‖", *directions, words=0)
    for place, norm in enumerate(directions[GENERAL].grid):
        means = [number(float(curve.mean[place])) for curve in directions.values()]
        table.add_row(number(float(norm)), *means)
    return table
