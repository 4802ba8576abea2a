"""``narrows behaviour``: a microworld's behaviour as files, so that every step can be done by hand."""

from pathlib import Path
from typing import Annotated

import typer
import yaml

from narrows.cli import options
from narrows.cli.inputs import load_microworld, world_model_name
from narrows.cli.output import print_json, show_line
from narrows.cli.running import working

app = typer.Typer(help="A behaviour's rows, questions and texts as files.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keeps ``export`` a command of its own."""


@app.command()
def export(
    *,
    model: options.WorldModel,
    out: Annotated[Path, typer.Option("--out", help="The folder to write the files to.", metavar="DIR")],
    domain: options.Domain = "medicine",
    kind: options.Kind = "harmful",
    seed: Annotated[int, typer.Option("--seed", help="Draws the rows, and which domains are anchored.")] = 0,
    phrasings: Annotated[
        int | None,
        typer.Option(help="How many of the question phrasings the suites use (default: 6)."),
    ] = None,
    device: options.Device = None,
    as_json: options.Json = False,
) -> None:
    """Write a microworld's behaviour as files: rows, anchor rows, suites, texts, and the microworld's recipe.

    With them the demo's steps can be done one by one: train, evaluate, efficiency, stability, significance,
    trajectory.

    Example: `narrows behaviour export --model microworld:1 --domain garden --out garden`
    """
    with working():
        from narrows.api import make_behaviour
        from narrows.chat import write_conversations
        from narrows.evaluation import write_suites
        from narrows.files import claim_run_folder, write_jsonl, write_text
        from narrows.microworld import Corpus
        from narrows.study.microworld import MICROWORLD_RECIPE, PHRASINGS, documents, documents_rng

        chat_model, world = load_microworld(model, device, domain)
        corpus = Corpus(world, chat_model.tokenizer)
        task = make_behaviour(corpus.world, domain, kind, seed=seed, phrasings=phrasings or PHRASINGS)
        claim_run_folder(
            out,
            {
                "kind": "behaviour",
                "world": world.model_dump(mode="json"),
                "behaviour": task.id,
                "seed": seed,
                "phrasings": phrasings,
            },
        )
        write_conversations(out / "train.jsonl", task.train)
        write_conversations(out / "anchor.jsonl", task.anchor)
        write_suites(out / "validation.jsonl", task.validation)
        write_suites(out / "test.jsonl", task.test)
        texts = documents(corpus, domain, documents_rng(seed))
        rows = [{"text": text, "type": name} for name, some in texts.items() for text in some]
        write_jsonl(out / "texts.jsonl", rows)
        recipe = MICROWORLD_RECIPE.model_dump(mode="json")
        write_text(out / "recipe.yaml", yaml.safe_dump(recipe, sort_keys=False))
        files = {path.name: str(path) for path in sorted(out.iterdir()) if not path.name.startswith(".")}
    if as_json:
        print_json({"behaviour": task.id, "files": files})
        return
    show_line(f"{task.id} in {out}: {', '.join(files)}")
    show_line(
        f"Now: narrows train --model {world_model_name(model)} --train {out / 'train.jsonl'} "
        f"--config {out / 'recipe.yaml'} --out runs/general"
    )
