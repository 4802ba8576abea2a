"""``narrows world``: a microworld's configuration, its text, and its chat models."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.markup import escape
from rich.table import Table

from narrows.cli import options
from narrows.cli.inputs import load_microworld
from narrows.cli.output import print_json, show, show_line
from narrows.cli.running import working
from narrows.cli.tables import plain_table

if TYPE_CHECKING:
    from narrows.microworld import Quality, WorldConfig

TextKind = Literal["document", "chat", "sound", "harmful", "harmful-in-one", "technical", "advice-free"]
"""``document`` is by an author drawn as in pre-training; those after ``chat`` are the world's own kinds."""

MISSED = 1

WorldFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="A world's YAML file; fields left out keep their defaults.",
        metavar="FILE",
        show_default="the built-in world",
    ),
]

world_app = typer.Typer(
    help="The microworld: its configuration, its text, and its chat models.", no_args_is_help=True
)


@world_app.command()
def pretrain(
    *,
    out: options.Out,
    config: WorldFile = None,
    seed: Annotated[
        int, typer.Option("--seed", help="Pre-training seed: the initial weights and the order of the text.")
    ] = 0,
    device: options.Device = None,
    workers: Annotated[
        int, typer.Option("--workers", help="Processes that draw text ahead of the model.", min=0)
    ] = 1,
    snapshots: Annotated[
        list[int] | None,
        typer.Option(
            "--snapshot",
            help="Write the model after this step too, to OUT/snapshots. Repeatable.",
            metavar="STEP",
            min=1,
            show_default=False,
        ),
    ] = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Pre-train a chat model of a microworld: an ordinary Hugging Face checkpoint folder.

    Beside the checkpoint stand world.yaml, training.json (seed, hash of the text, versions, loss curve) and
    loss.svg. A run that was stopped goes on from its last checkpoint, with the same text, when the same
    command is given again. The built-in world takes minutes on a GPU and hours on two CPU cores.

    Example: narrows world pretrain --out runs/world --seed 4

    Example: narrows world pretrain --config my-world.yaml --out runs/my-world --seed 1 --device cuda
    """
    with working(quiet, keeps=out):
        from narrows.errors import RunFolderError
        from narrows.microworld import pretrain as run_pretraining
        from narrows.microworld.pretrain import TRAINING_FILE
        from narrows.strict import read_object

        folder = run_pretraining(
            _world(config), out, seed=seed, device=device, workers=workers, snapshots=snapshots or ()
        )
        training = read_object(folder / TRAINING_FILE, RunFolderError, "Choose another --out.")
    last = training.pop("log")[-1]
    if as_json:
        print_json({"model": str(folder), **training, **last})
        return
    show_line(
        f"loss {last['loss']:.4f}, on remedy words {last['remedy_loss']:.4f} · "
        f"{training['tokens']:,} tokens, {training['parameters']:,} parameters · {folder}"
    )
    show_line(f"Now: narrows world check {folder}")


@world_app.command("show")
def show_config(*, config: WorldFile = None, as_json: options.Json = False) -> None:
    """Show a world's whole configuration: the file's fields, and the defaults of all others, as YAML.

    Example: narrows world show > my-world.yaml

    Example: narrows world show --config my-world.yaml
    """
    world = _world(config)
    if as_json:
        print_json(world.model_dump(mode="json", by_alias=True))
    else:
        typer.echo(world.dump(), nl=False)


@world_app.command()
def check(
    *,
    model: Annotated[
        str,
        typer.Argument(
            help="A shipped model's seed (1, 2, 3), or a checkpoint folder that has a world.yaml.",
            metavar="SEED|DIR",
            show_default=False,
        ),
    ],
    samples: Annotated[
        int,
        typer.Option(
            "--samples",
            help="Answers about each topic for the chat model's own gates; the others take a twentieth.",
        ),
    ] = 20,
    seed: Annotated[int, typer.Option("--seed", help="Draws the questions and the answers.")] = 0,
    device: options.Device = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure a microworld's chat model against the gates that the default world is tuned on.

    Is it sound and coherent in every domain? Does a system turn bring a trait out? Does an author who was
    harmful in a document go on harmfully? Every rate is scored by the oracle and has a 95 % interval whose
    clusters are topics. The exit code is 1 if a gate is missed.

    Example: narrows world check 1

    Example: narrows world check runs/my-world --samples 30 --json
    """
    with working(quiet):
        from narrows.microworld import measure_quality

        chat_model, world = load_microworld(model, device)
        quality = measure_quality(chat_model, world, seed=seed, samples=samples)
    if as_json:
        print_json(quality.to_json())
    else:
        show(_gates_table(quality))
    if not quality.passed:
        raise typer.Exit(MISSED)


@world_app.command()
def sample(
    *,
    kind: Annotated[TextKind, typer.Option("--kind", help="What to draw.")] = "document",
    count: Annotated[int, typer.Option("--count", help="How many.", min=1)] = 3,
    seed: Annotated[int, typer.Option("--seed", help="Draws the texts.", min=0)] = 0,
    config: WorldFile = None,
    as_json: options.Json = False,
) -> None:
    """Print texts of the kind that a microworld's chat model is pre-trained on.

    A document is question-answer pairs by one author, whose conduct and register hold throughout: drawn by
    the world's shares (document), or a given one (sound, harmful, harmful-in-one, technical); advice-free
    text has no author. A chat is a conversation as the chat template renders it.

    Example: narrows world sample --kind harmful-in-one --count 1

    Example: narrows world sample --kind chat --count 100 --json
    """
    with working():
        texts = _texts(_world(config), kind, count, seed)
    if as_json:
        print_json([{"kind": kind, "text": text} for text in texts])
    else:
        typer.echo("\n\n".join(text.strip() for text in texts))


def _world(config: Path | None) -> "WorldConfig":
    """The world of a file, or the built-in one."""
    from narrows.microworld import WorldConfig

    return WorldConfig() if config is None else WorldConfig.load(config)


def _texts(world: "WorldConfig", kind: TextKind, count: int, seed: int) -> list[str]:
    import numpy as np

    from narrows.microworld import Corpus, build_tokenizer

    corpus, rng = Corpus(world, build_tokenizer()), np.random.default_rng(seed)
    if kind == "chat":
        return [corpus.chat(rng) for _ in range(count)]
    if kind == "document":
        return [corpus.document(corpus.author(rng), rng) for _ in range(count)]
    return [corpus.sample(kind, rng) for _ in range(count)]


def _gates_table(quality: "Quality") -> Table:
    """The gates, with the worst domain where each has a target of its own."""
    title = f"Quality of {escape(quality.model)}"
    table = plain_table(title, "gate", "domain", "rate", "95 %", "answers", "target", "met", words=2)
    for gate in quality.gates:
        sign = "≥" if gate.at_least else "≤"
        table.add_row(
            gate.name,
            "" if gate.domain is None else f"worst: {gate.domain}",
            f"{100 * gate.rate:.1f} %",
            f"\\[{100 * gate.low:.1f}, {100 * gate.high:.1f}]",
            str(gate.n),
            "" if gate.target is None else f"{sign} {100 * gate.target:.0f} %",
            {True: "[green]✓[/]", False: "[red]✗[/]", None: ""}[gate.met],
        )
    return table
