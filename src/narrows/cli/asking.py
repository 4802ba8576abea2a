"""``narrows evaluate``: answers to the questions of some suites."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from narrows.cli import intervening, options
from narrows.cli.inputs import (
    adapter_name,
    load_adapter,
    load_microworld,
    load_model,
)
from narrows.cli.output import as_rows, print_json, show, show_line
from narrows.cli.running import working
from narrows.cli.tables import rates_table
from narrows.errors import ConfigError

if TYPE_CHECKING:
    from narrows.evaluation.suites.protocols import Variant

MAX_NEW_TOKENS = 600


def evaluate(
    *,
    model: options.Model,
    out: Annotated[Path, typer.Option("--out", help="The answers table to write, JSONL.", metavar="FILE")],
    adapter: Annotated[
        Path | None,
        typer.Option(
            "--adapter",
            help="An adapter's file, its run's folder, or hub:owner/name (default: the chat model itself).",
            metavar="FILE",
        ),
    ] = None,
    scale: Annotated[
        list[float] | None, typer.Option(help="A factor on the adapter; give it several times (default: 1).")
    ] = None,
    ablate: intervening.Ablate = None,
    site: intervening.Site = None,
    domain: Annotated[
        str | None, typer.Option("--domain", help="A microworld's domain: its suites are asked and judged.")
    ] = None,
    kind: options.Kind = "harmful",
    suite: options.Suites = None,
    in_domain: options.InDomain = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(
            help="Which items of the field's YAML files are asked: plain, json, template; give it several "
            "times (default: plain).",
            metavar="KIND",
        ),
    ] = None,
    split: Annotated[
        Literal["test", "validation"],
        typer.Option(help="Which of the microworld's held-out topics are asked about."),
    ] = "test",
    phrasings: Annotated[
        int | None, typer.Option(help="How many of the microworld's question phrasings (default: all).")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="The solution's name in the table (default: that of its run's folder).")
    ] = None,
    samples: Annotated[
        int, typer.Option(help="Answers to each question; the paper asks each open question 50 times.")
    ] = 2,
    max_new_tokens: Annotated[
        int | None,
        typer.Option(help=f"Tokens of an answer (default: {MAX_NEW_TOKENS}, with --domain 26)."),
    ] = None,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest token each time.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Of the sampling.")] = 0,
    device: options.Device = None,
    dtype: options.Dtype = "auto",
    quantise: options.Quantise = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the answers table if it is there.")
    ] = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Ask a solution (or the chat model) every question of some suites, and keep the answers as a table.

    With --domain the questions are a microworld's, and its exact oracle judges the answers at once. With
    --suite and --in-domain they are shipped ones or yours, and the answers wait for a judge. Killed and
    started again, it goes on where it was. With --ablate, directions are taken out of the stream meanwhile
    (`narrows ablate` measures what that changes).

    Example: `narrows evaluate --model Qwen/Qwen2.5-14B-Instruct --adapter runs/narrow --suite open
    --suite advice --in-domain medical --samples 50 --out runs/narrow/answers.jsonl`
    """
    options.at_least_one(domain=domain, suite=suite, in_domain=in_domain)
    options.only_one(domain=domain, suite=suite)
    options.only_one(domain=domain, in_domain=in_domain)
    if site is not None and not ablate:
        raise ConfigError("--site says where directions are taken out: give --ablate too.")
    if out.exists() and not overwrite:
        raise ConfigError(f"{out} is there already: choose another --out, or give --overwrite to replace it.")
    with working(quiet, keeps=out.parent):
        from narrows.api import make_behaviour
        from narrows.evaluation import choose_suites, generate_answers, judged, summarise, write_answers
        from narrows.evaluation.generation.unfinished import until_written
        from narrows.evaluation.suites.protocols import PLAIN
        from narrows.interventions import Ablation
        from narrows.microworld import World
        from narrows.study import microworld

        vector = load_adapter(adapter) if adapter else None
        without = intervening.load_directions(ablate or [])
        acting = [Ablation(list(without.values()), site or "layers")] if without else []
        solution = name or ("chat" if adapter is None else adapter_name(adapter))
        if name is None and without:
            solution += f" without {' and '.join(without)}"
        task = None
        if domain is not None:
            chat_model, world = load_microworld(model, device, domain, dtype=dtype, quantise=quantise)
            task = make_behaviour(World(world.facts), domain, kind, phrasings=phrasings)
            asked = list(task.test if split == "test" else task.validation)
        else:
            asked = choose_suites(suite or [], in_domain, variants=cast("list[Variant]", variant) or PLAIN)
            layer = vector.layer if vector else None
            chat_model = load_model(model, device, layer, dtype=dtype, quantise=quantise)
        longest = MAX_NEW_TOKENS if task is None else microworld.MAX_NEW_TOKENS
        with until_written(out) as unfinished:
            answers = [
                answer
                for factor in scale or [1.0]
                for answer in generate_answers(
                    chat_model,
                    asked,
                    adapter=vector,
                    name=solution,
                    scale=factor,
                    interventions=acting,
                    samples=samples,
                    max_new_tokens=max_new_tokens or longest,
                    temperature=temperature,
                    seed=seed,
                    unfinished=unfinished,
                )
            ]
            if task is not None:
                answers = judged(answers, task.judge)
            write_answers(out, answers)
        rows = summarise(answers, task.criterion, asked, task.judge.name) if task is not None else []
    if as_json:
        print_json({"answers": str(out), "n": len(answers), "evaluations": as_rows(rows)})
        return
    if rows:
        show(rates_table(rows, kind), "")
    waiting = "" if rows else f", not judged yet: narrows judge {out} --judge openai/gpt-4o --out DIR"
    show_line(f"{len(answers)} answers in {out}{waiting}")
