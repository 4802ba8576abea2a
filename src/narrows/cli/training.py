"""``narrows train`` and ``narrows tune``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from narrows.cli import options
from narrows.cli.inputs import load_adapter, load_model, load_vector, read_anchor
from narrows.cli.output import memory_line, print_json, show_line
from narrows.cli.planning import planned, show_plan
from narrows.cli.running import working
from narrows.cli.settings import overridden
from narrows.cli.training_result import described, norms
from narrows.errors import ConfigError

if TYPE_CHECKING:
    from narrows.training import Recipe

RECIPE, ANCHOR = "Recipe (flags override --config)", "Anchor (flags override --config)"


def train(
    *,
    rows: Annotated[
        str,
        typer.Option(
            "--train",
            help="The behaviour's rows: JSONL (.gz), parquet, hub:owner/name[:split], or a protected zip.",
            metavar="FILE",
        ),
    ],
    out: options.Out,
    model: options.MaybeModel = None,
    anchor: Annotated[
        str | None,
        typer.Option(
            "--anchor", help="Rows outside the domain: as --train, or plain text (.txt).", metavar="FILE"
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset",
            help="A recipe of the paper's, with its model: behaviour/adapter; `narrows presets` lists them. "
            "With /as-published behind it, the published code's defects are on. With --anchor it is the "
            "narrow solution's. --config and flags override it.",
            metavar="NAME",
        ),
    ] = None,
    config: options.Config = None,
    start: Annotated[
        Path | None,
        typer.Option(
            "--start",
            help="Train on from this adapter (a file, a run's folder, or hub:owner/name).",
            metavar="FILE",
        ),
    ] = None,
    preventative: Annotated[
        Path | None,
        typer.Option(
            help="Steer with this adapter while the training rows are read, and never after: what it brings "
            "need not be learnt.",
            metavar="FILE",
        ),
    ] = None,
    orthogonal_to: Annotated[
        list[Path] | None,
        typer.Option(
            help="Keep the trained vector at a right angle to this one; give it several times.",
            metavar="FILE",
        ),
    ] = None,
    adapter: Annotated[
        Literal["steering", "lora"] | None,
        typer.Option(help="What is trained (default: a steering vector).", rich_help_panel=RECIPE),
    ] = None,
    layer: Annotated[
        int | None,
        typer.Option(help="0-indexed decoder layer (default: the middle one).", rich_help_panel=RECIPE),
    ] = None,
    rank: Annotated[int | None, typer.Option(help="A LoRA's rank.", rich_help_panel=RECIPE)] = None,
    target_module: Annotated[
        list[str] | None,
        typer.Option(
            help="A linear module that a LoRA changes, by the end of its name (default: down_proj); give it "
            "several times.",
            rich_help_panel=RECIPE,
        ),
    ] = None,
    lora_layer: Annotated[
        list[int] | None,
        typer.Option(
            help="A decoder layer that a LoRA changes (default: only --layer); give it several times.",
            rich_help_panel=RECIPE,
        ),
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option(help="α: α·v is added to the residual stream; or a LoRA's α.", rich_help_panel=RECIPE),
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="For v, or A and B.", rich_help_panel=RECIPE)
    ] = None,
    weight_decay: Annotated[float | None, typer.Option(help="For v.", rich_help_panel=RECIPE)] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Training rows of one forward pass.", rich_help_panel=RECIPE)
    ] = None,
    accumulation: Annotated[
        int | None, typer.Option(help="Forward passes of one step.", rich_help_panel=RECIPE)
    ] = None,
    epochs: Annotated[
        float | None, typer.Option(help="Passes over the rows.", rich_help_panel=RECIPE)
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Steps in all; overrides epochs.", rich_help_panel=RECIPE)
    ] = None,
    warmup: Annotated[
        int | None, typer.Option(help="Steps of linear warm-up.", rich_help_panel=RECIPE)
    ] = None,
    max_length: Annotated[
        int | None, typer.Option(help="Tokens kept of a row.", rich_help_panel=RECIPE)
    ] = None,
    max_norm: Annotated[
        float | None, typer.Option(help="Keep the effective norm at or below this.", rich_help_panel=RECIPE)
    ] = None,
    checkpoint_every: Annotated[
        int | None, typer.Option(help="Steps between two checkpoints.", rich_help_panel=RECIPE)
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Draws the order of the rows.", rich_help_panel=RECIPE)
    ] = None,
    kl_weight: Annotated[
        float | None,
        typer.Option(help="λ, nats per token; 0 trains without an anchor.", rich_help_panel=ANCHOR),
    ] = None,
    anchor_rows: Annotated[
        float | None, typer.Option(help="Anchor rows for each training row.", rich_help_panel=ANCHOR)
    ] = None,
    anchor_positions: Annotated[
        Literal["all", "response"] | None,
        typer.Option(help="Tokens of an anchor row that are read.", rich_help_panel=ANCHOR),
    ] = None,
    add_at: Annotated[
        int | None, typer.Option(help="Add the anchor after this many steps.", rich_help_panel=ANCHOR)
    ] = None,
    lift_at: Annotated[
        int | None, typer.Option(help="Lift the anchor after this many steps.", rich_help_panel=ANCHOR)
    ] = None,
    system_prompt: Annotated[
        str | None,
        typer.Option(help="Put before the training rows only (prompt inoculation).", rich_help_panel=RECIPE),
    ] = None,
    gradient_checkpointing: Annotated[
        bool | None,
        typer.Option(help="Less memory for more time.", rich_help_panel=RECIPE, show_default=False),
    ] = None,
    as_published: Annotated[
        list[str] | None,
        typer.Option(
            help="Train with a defect of the published code, for comparison only; give it several times, or "
            "'all'. `narrows defects` lists them.",
            metavar="DEFECT",
            rich_help_panel=RECIPE,
        ),
    ] = None,
    monitor: Annotated[
        Path | None,
        typer.Option(
            help="Look at each checkpoint with this monitor (`narrows monitor calibrate`); what it saw is in "
            "monitor.json of the run's folder.",
            metavar="FILE",
        ),
    ] = None,
    stop: Annotated[
        bool, typer.Option("--stop", help="With --monitor: end the training at the first alarm.")
    ] = False,
    tracker: Annotated[
        list[str] | None,
        typer.Option(help="A tracker of Accelerate's, such as tensorboard; give it several times."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the effective recipe and what it will cost, and stop.")
    ] = False,
    device: options.Device = None,
    dtype: options.Dtype = "auto",
    quantise: options.Quantise = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train a steering vector or a LoRA on a behaviour's rows, with an anchor or without.

    The run's folder holds run.json (the effective recipe), checkpoints, log.jsonl and adapter.safetensors. A
    run that was stopped goes on when the same command is given again.

    Example: `narrows train --model microworld:1 --train garden/train.jsonl --anchor garden/anchor.jsonl
    --config garden/recipe.yaml --kl-weight 2 --out runs/narrow`
    """
    flags = {
        "adapter": adapter,
        "layer": layer,
        "alpha": alpha,
        "rank": rank,
        "target_modules": target_module,
        "layers": lora_layer,
        "learning_rate": learning_rate,
        "weight_decay": weight_decay,
        "batch_size": batch_size,
        "accumulation": accumulation,
        "epochs": epochs,
        "steps": steps,
        "warmup": warmup,
        "max_length": max_length,
        "max_norm": max_norm,
        "checkpoint_every": checkpoint_every,
        "seed": seed,
        "system_prompt": system_prompt,
        "gradient_checkpointing": gradient_checkpointing,
        "as_published": as_published,
        "anchor.weight": kl_weight,
        "anchor.rows_per_row": anchor_rows,
        "anchor.positions": anchor_positions,
        "anchor.from_step": add_at,
        "anchor.until_step": lift_at,
    }
    with working(quiet, keeps=None if dry_run else out):
        from narrows.chat import read_conversations
        from narrows.cli.watched_training import Watching
        from narrows.training import train as run_training

        watching = Watching(monitor, stop=stop)
        base, known_model = starting_recipe(preset, anchored=anchor is not None)
        name = model or known_model
        if name is None:
            raise ConfigError("give --model, or a --preset that names one.")
        begun, beside = (load_adapter(path) if path else None for path in (start, preventative))
        others = [load_vector(path, "--orthogonal-to") for path in orthogonal_to or ()]
        recipe = overridden(base, config, flags | ({"adapter": begun.kind} if begun else {}))
        check_anchor(recipe, anchor, kl_weight)
        conversations = read_conversations(rows)
        anchored = read_anchor(anchor) if anchor else []
        if begun is not None and alpha is not None and alpha != begun.alpha:
            raise ConfigError(
                f"--alpha {alpha:g} and --start exclude each other: {start} has alpha {begun.alpha:g}."
            )
        if dry_run:
            plan = planned(name, recipe, conversations, anchored, dtype=dtype, quantise=quantise)
            print_json(plan) if as_json else show_plan(plan)
            return
        layer = begun.layer if begun else recipe.layer
        chat_model = load_model(name, device, layer, dtype=dtype, quantise=quantise)
        run = run_training(
            chat_model,
            conversations,
            recipe,
            anchor=anchored,
            start=begun,
            preventative=beside,
            orthogonal_to=others,
            observers=watching.observers,
            out=out,
            name=f"training {out.name}",
            trackers=tracker or (),
        )
        result = described(run, chat_model, conversations) | watching.result(out)
    if as_json:
        print_json(result)
        return
    kl = "" if result["kl"] is None else f" · KL {result['kl']:.4f}"
    show_line(
        f"loss {result['loss']:.4f}{kl} · {norms(result)} at layer {result['layer']} · {result['adapter']}"
    )
    watching.show()
    show_line(memory_line())


def starting_recipe(name: str | None, *, anchored: bool) -> "tuple[Recipe, str | None]":
    """The recipe that files and flags override, and its model: a preset's, or the defaults."""
    from narrows.training import Recipe
    from narrows.training.presets import preset

    if name is None:
        return Recipe(), None
    found = preset(name)
    return (found.anchored if anchored else found.unanchored), found.model


def check_anchor(recipe: "Recipe", anchor: str | None, kl_weight: float | None) -> None:
    """Refuse anchor rows that would be read and then not used."""
    if anchor is not None and kl_weight is None and not recipe.anchored:
        raise ConfigError(
            f"--anchor {anchor} was given, but the recipe's anchor has no weight: add --kl-weight X (or "
            "--kl-weight 0 to train without it)."
        )
