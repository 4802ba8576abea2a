"""``narrows direction effects``: directions of different models, compared by what they do to predictions."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from narrows.cli import options
from narrows.cli.direction import inputs
from narrows.cli.inputs import load_adapter, load_model
from narrows.cli.output import print_json, show, show_line
from narrows.cli.running import working
from narrows.cli.tables import plain_table
from narrows.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table

    from narrows.geometry.comparison import Effect, EffectTable


def effects(
    *,
    places: Annotated[
        list[str],
        typer.Argument(
            help="A model and a direction or adapter of it: microworld:1=runs/general-1.",
            metavar="MODEL=FILE…",
            show_default=False,
        ),
    ],
    texts: inputs.Texts = inputs.FINEWEB,
    texts_count: inputs.TextsCount = 64,
    norm: Annotated[
        float | None,
        typer.Option(help="Give every adapter this effective norm ‖αv‖ (default: each its own)."),
    ] = None,
    random: Annotated[
        int, typer.Option(help="Random directions in each place, with the stream's covariance.", min=0)
    ] = 10,
    seed: options.Seed = 0,
    device: options.Device = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Compare directions of different models by effect: by what they do to the same predictions.

    The models must share a tokenizer. Each is steered with its direction while it reads the texts. The effect
    is the change of the root of the predicted probability of every token at every position; effects are
    compared by their cosine. Steer as strongly as it takes to change what the model says.

    Example: `narrows direction effects microworld:1=runs/general-1 microworld:2=runs/general-2
    --texts garden/anchor.jsonl`
    """
    with working(quiet):
        from narrows.geometry.comparison import effect_table

        found, chance = _effects(
            _by_model(places),
            texts=texts,
            count=texts_count,
            norm=norm,
            random=random,
            seed=seed or 0,
            device=device,
        )
        table = effect_table(found, chance)
    if as_json:
        print_json(
            {
                "effects": [
                    {"name": one.name, "norm": one.norm, "size": size}
                    for one, size in zip(found, table.sizes, strict=True)
                ],
                "pairs": [asdict(pair) for pair in table.pairs],
            }
        )
        return
    show(_effect_table(table), "")
    show_line("Chance: where the cosine with a random direction's effect would lie, in 95 % of cases.")


def _by_model(places: Sequence[str]) -> dict[str, list[str]]:
    """The files of each model, from MODEL=FILE.

    Raises:
        ConfigError: one does not say which model it belongs to, or there is only one.
    """
    files: dict[str, list[str]] = {}
    for given in dict.fromkeys(places):
        model, sign, file = given.partition("=")
        if not (model and sign and file):
            raise ConfigError(f"{given} does not say which model a direction belongs to: give MODEL=FILE.")
        files.setdefault(model, []).append(file)
    if sum(map(len, files.values())) < 2:
        raise ConfigError("effects are compared with one another: give MODEL=FILE twice or more, each once.")
    return files


def _effects(
    by_model: Mapping[str, Sequence[str]],
    *,
    texts: str,
    count: int,
    norm: float | None,
    random: int,
    seed: int,
    device: str | None,
) -> "tuple[list[Effect], dict[str, list[Effect]]]":
    """The effects of all directions, and those of random ones by each one's name; a model is loaded once."""
    from narrows.geometry.comparison import effect, random_effects
    from narrows.models import residual_covariance

    found: dict[str, Effect] = {}
    chance: dict[str, list[Effect]] = {}
    for model, files in by_model.items():
        adapters = {f"{model}={file}": load_adapter(Path(file)) for file in files}
        chat_model = load_model(model, device, next(iter(adapters.values())).layer)
        rows = inputs.read_rows(chat_model, texts, count)
        for name, stored in adapters.items():
            adapter = stored if norm is None else stored.scaled_to(norm)
            found[name] = effect(chat_model, adapter, rows, name=name, seed=seed)
            if random:
                covariance = residual_covariance(chat_model, adapter.layer, rows)
                chance[name] = random_effects(
                    chat_model, adapter, rows, count=random, covariance=covariance, seed=seed
                )
    return list(found.values()), chance


def _effect_table(table: "EffectTable") -> "Table":
    from rich.markup import escape

    shown = plain_table("Cosines of effects", "", "", "cosine", "chance", words=2)
    for pair in table.pairs:
        chance = "–" if pair.random is None else f"{pair.random[0]:.2f} to {pair.random[1]:.2f}"
        shown.add_row(escape(pair.first), escape(pair.second), f"{pair.cosine:.3f}", chance)
    return shown
