"""``narrows gradients``: where the loss pulls along a training run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from narrows.cli import options
from narrows.cli.inputs import adapter_name, load_adapter, load_model, read_anchor, read_run
from narrows.cli.output import as_rows, print_json, show, show_line
from narrows.cli.running import working
from narrows.cli.tables import plain_table
from narrows.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table

    from narrows.adapters import LoRA, SteeringVector
    from narrows.metrics import GradientCosines
    from narrows.statistics import MeanInterval
    from narrows.training import Recipe


def gradients(
    *,
    model: options.Model,
    run: Annotated[
        Path,
        typer.Option(
            "--run", help="The training run that is followed: its folder, or hub:owner/name.", metavar="RUN"
        ),
    ],
    train: Annotated[
        str, typer.Option("--train", help="The run's training rows, JSONL of chats.", metavar="FILE")
    ],
    general: options.General,
    narrow: options.Narrow,
    every: Annotated[int, typer.Option(help="Steps between two gradients.", min=1)] = 20,
    groups: Annotated[
        int, typer.Option(help="Disjoint groups of rows; each gives a gradient of its own.", min=2)
    ] = 8,
    rows: Annotated[int, typer.Option(help="Rows of a group.", min=1)] = 16,
    anchor: Annotated[
        str | None,
        typer.Option("--anchor", help="Anchor rows, for the KL's part of the gradient.", metavar="FILE"),
    ] = None,
    kl_weight: Annotated[
        float | None, typer.Option("--kl-weight", help="λ of that part, nats per token.", min=0)
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Draws the groups.", min=0)] = 0,
    device: options.Device = None,
    dtype: options.Dtype = "auto",
    quantise: options.Quantise = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Follow the loss gradient along a training run: its cosine with the general and the narrow solution.

    The cosine is that of the descent direction, −∇L of the training loss, with α·v of a vector or with B of a
    LoRA, so above 0 it points towards the solution. Give solutions of other runs than the one followed; a
    LoRA's must have been trained from the run's own first A, for without it B means nothing.

    --json prints the rows that stand under "gradients" in summary.json; intervals are over groups of rows.

    Example: `narrows gradients --model microworld:1 --run runs/followed --train garden/train.jsonl --general
    runs/general --narrow runs/narrow`
    """
    if (anchor is None) != (kl_weight is None):
        raise ConfigError("--anchor and --kl-weight belong together: give both, or neither.")
    with working(quiet):
        from narrows.chat import read_conversations
        from narrows.metrics import GradientSample, gradient_cosines
        from narrows.study.gradients import gradient_rows

        sample = GradientSample(every, groups, rows, seed)
        followed, end = read_run(run), load_adapter(run)
        ends = {"general": load_adapter(general), "narrow": load_adapter(narrow)}
        chat_model = load_model(model, device, end.layer, dtype=dtype, quantise=quantise)
        found = gradient_cosines(
            chat_model,
            followed,
            read_conversations(train),
            _recipe_of(end),
            ends,
            anchor=read_anchor(anchor) if anchor else (),
            kl_weight=kl_weight or 0.0,
            sample=sample,
        )
    if as_json:
        print_json(as_rows(gradient_rows(adapter_name(run), found)))
        return
    show(_table(found), "")
    difference = found.difference("general", "narrow")
    show_line(
        f"Mean over training, general − narrow: {_said(difference)} over {difference.n} groups of rows."
    )
    show_line(
        f"A random direction's mean lies within ± {found.random_band():.3f} (95 %); none passes "
        f"{found.resultant:.3f}."
    )


def _recipe_of(adapter: "SteeringVector | LoRA") -> "Recipe":
    """The recipe that a run's adapter was trained by; of a published run, which does not say, the default."""
    from narrows.training import Recipe

    kept = adapter.metadata.get("recipe")
    return Recipe.model_validate(kept) if kept else Recipe(adapter=adapter.kind, layer=adapter.layer)


def _table(found: "GradientCosines") -> "Table":
    """The cosines at each checkpoint."""
    table = plain_table("Cosine of −∇L", "step", "general", "95 %", "narrow", "95 %", "‖∇L‖", words=0)
    columns = [found.at_steps(name) for name in ("general", "narrow")]
    for place, step in enumerate(found.steps):
        cells = [part for column in columns for part in _cells(column[place])]
        table.add_row(str(step), *cells, f"{found.norms[place].mean():.3g}")
    return table


def _cells(mean: "MeanInterval") -> tuple[str, str]:
    return f"{mean.mean:.3f}", f"\\[{mean.low:.3f}, {mean.high:.3f}]"


def _said(mean: "MeanInterval") -> str:
    return f"{mean.mean:.3f} [{mean.low:.3f}, {mean.high:.3f}]"
