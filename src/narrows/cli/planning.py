"""``narrows presets``, ``defects`` and ``train --dry-run``: what a training would be, and cost."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import yaml

from narrows.cli import options
from narrows.cli.output import print_json, show, show_line
from narrows.cli.running import working
from narrows.cli.tables import plain_table

if TYPE_CHECKING:
    from narrows.chat import Conversation
    from narrows.models.quantised import Bits
    from narrows.training import Recipe

GIB = 2**30


def presets(as_json: options.Json = False) -> None:
    """List the paper's recipes: behaviour, adapter, model, λ in nats per token.

    Example: `narrows presets`
    """
    with working():
        from narrows.training.presets import preset, preset_names

        found = [preset(name) for name in preset_names()]
    if as_json:
        print_json([one.model_dump(mode="json") for one in found])
        return
    table = plain_table("The paper's recipes", "name", "model", "layer", "rate", "epochs", "λ", words=2)
    for one in found:
        epochs = " / ".join(f"{recipe.epochs:g}" for recipe in (one.unanchored, one.anchored))
        rate = f"{one.anchored.learning_rate:g}"
        weight = f"{one.anchored.anchor.weight:.3g}"
        table.add_row(one.name, one.model, str(one.anchored.layer), rate, epochs, weight)
    show(table, "")
    show_line("/as-published behind a name: with the defects of the published code (see narrows defects).")
    show_line("epochs: general / narrow solution. λ: nats per token, of the narrow one.")


def defects(as_json: options.Json = False) -> None:
    """List the known defects of the published code, each of which can be switched on by its name.

    They are for seeing what each does to a number. `narrows train --as-published NAME` (or `all`) takes those
    of training; `narrows efficiency`, `stability` and `significance` take those of metrics.

    Example: `narrows defects`
    """
    with working():
        from narrows.metrics.published import METRIC_DEFECTS
        from narrows.training.published import TRAINING_DEFECTS

        found = [
            {"name": name, "of": of, "what": what}
            for of, some in (("training", TRAINING_DEFECTS), ("metrics", METRIC_DEFECTS))
            for name, what in some.items()
        ]
    if as_json:
        print_json(found)
        return
    table = plain_table("What the published code does differently", "name", "of", "what it does", words=3)
    for one in found:
        table.add_row(one["name"], one["of"], one["what"])
    show(table)


def planned(
    model: str,
    recipe: "Recipe",
    rows: "Sequence[Conversation]",
    anchor: "Sequence[Conversation | str]",
    *,
    dtype: str = "auto",
    quantise: "Bits | None" = None,
) -> dict[str, Any]:
    """A training's effective recipe and its cost, from the model's config and tokenizer alone."""
    from narrows.api import model_source
    from narrows.models.outline import outline
    from narrows.training.estimate import estimate
    from narrows.training.prepare import anchor_tokens, training_tokens

    shape = outline(model_source(model), dtype=dtype, quantise=quantise)
    found = estimate(
        recipe,
        training_tokens(shape.renderer, rows, recipe),
        anchor_tokens(shape.renderer, anchor, recipe),
        parameters=shape.parameters,
        itemsize=shape.itemsize,
        layers=shape.layers,
        hidden=shape.hidden,
        vocabulary=shape.vocabulary,
    )
    found = replace(found, weights=shape.weights)  # packed ones are smaller than their numbers
    return {
        "model": model,
        "recipe": recipe.model_dump(mode="json"),
        "rows": len(rows),
        "anchor_rows": len(anchor),
        "estimate": asdict(found) | {"peak": found.peak},
    }


def show_plan(plan: dict[str, Any]) -> None:
    """Print a plan for people."""
    cost = plan["estimate"]
    show_line(yaml.safe_dump({"model": plan["model"], "recipe": plan["recipe"]}, sort_keys=False).rstrip())
    show_line("")
    show_line(
        f"{plan['rows']} rows, {plan['anchor_rows']} anchor rows: {cost['steps']} steps, "
        f"{cost['tokens']:,} tokens of training rows and {cost['anchor_tokens']:,} of anchor rows"
    )
    show_line(
        f"memory, roughly: {cost['peak'] / GIB:.2f} GiB (weights {cost['weights'] / GIB:.2f}, activations "
        f"{cost['activations'] / GIB:.2f}, logits in chunks {cost['logits'] / GIB:.2f}; whole they would be "
        f"{cost['logits_avoided'] / GIB:.2f})"
    )
