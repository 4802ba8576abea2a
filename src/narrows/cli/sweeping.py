"""``narrows sweep``: which layer, which strength."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from narrows.cli import judges, options
from narrows.cli.inputs import adapter_name, load_adapter
from narrows.cli.output import memory_line, print_json, show, show_line
from narrows.cli.running import say, working
from narrows.cli.settings import overridden
from narrows.cli.sweep_inputs import (
    Own,
    Task,
    asked_about,
    cost_in_words,
    judge_of,
    ordinary_texts,
    swept_from,
    training_from,
)
from narrows.cli.sweep_tables import rates_table, sweep_figure, texts_table
from narrows.errors import ConfigError

FIGURE_FILE = "sweep.svg"
EXISTING, TRAINING = "Adapters that exist", "A training at each layer"
ASKED, TEXT = "Questions and their judge", "Ordinary text"


def sweep(
    *,
    model: options.MaybeModel = None,
    out: options.Out,
    adapter: Annotated[
        list[Path] | None,
        typer.Option(
            "--adapter",
            help="An adapter's file, its run's folder, or hub:owner/name; give it several times.",
            metavar="FILE",
            rich_help_panel=EXISTING,
        ),
    ] = None,
    move: Annotated[
        Literal["share", "norm"],
        typer.Option(
            help="What a vector keeps at another --layer: its share of the mean residual norm, or its norm.",
            rich_help_panel=EXISTING,
        ),
    ] = "share",
    train: Annotated[
        str | None,
        typer.Option(
            "--train",
            help="Rows to train one adapter at each --layer on, as in `narrows train`.",
            metavar="FILE",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    anchor: Annotated[
        str | None,
        typer.Option("--anchor", help="Rows outside the domain.", metavar="FILE", rich_help_panel=TRAINING),
    ] = None,
    kl_weight: Annotated[
        float | None, typer.Option(help="λ, nats per token.", rich_help_panel=TRAINING)
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="A recipe of the paper's, with its model.", metavar="NAME", rich_help_panel=TRAINING
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            help="A YAML file with any fields of the recipe (adapter: lora for LoRAs).",
            metavar="FILE",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    layer: Annotated[
        list[int] | None,
        typer.Option(
            "--layer",
            help="A 0-indexed decoder layer, to train at or to move vectors to (default: where each adapter "
            "is); give it several times.",
            metavar="N",
        ),
    ] = None,
    scale: Annotated[
        list[float] | None,
        typer.Option(help="A factor on each adapter; give it several times (default: 0.5, 1, 1.5 and 2)."),
    ] = None,
    domain: Annotated[
        str | None,
        typer.Option(
            "--domain",
            help="A microworld's domain: its suites are asked, its oracle judges.",
            rich_help_panel=ASKED,
        ),
    ] = None,
    kind: options.Kind = "harmful",
    suite: options.Suites = None,
    in_domain: options.InDomain = None,
    criterion: Annotated[
        str | None,
        typer.Option(
            help="What counts, as in `narrows rates` (default: by --kind).",
            metavar="CRITERION",
            rich_help_panel=ASKED,
        ),
    ] = None,
    split: Annotated[
        Literal["test", "validation"],
        typer.Option(
            help="Which of the microworld's held-out topics are asked about: choosing by the test ones would "
            "spend them.",
            rich_help_panel=ASKED,
        ),
    ] = "validation",
    phrasings: Annotated[
        int | None,
        typer.Option(
            help="How many of the microworld's question phrasings (default: 6).",
            rich_help_panel=ASKED,
        ),
    ] = None,
    decide_by: Annotated[
        str | None,
        typer.Option(
            help="The suite, or macro mean, whose rate decides (default: in_domain, else open).",
            rich_help_panel=ASKED,
        ),
    ] = None,
    coherence_floor: Annotated[
        float | None,
        typer.Option(
            help="Share of the chat model's coherence that a recommended cell keeps (default: 0.9).",
            rich_help_panel=ASKED,
        ),
    ] = None,
    samples: Annotated[
        int | None, typer.Option(help="Answers to each question (default: 2).", rich_help_panel=ASKED)
    ] = None,
    max_new_tokens: Annotated[
        int | None,
        typer.Option(help="Tokens of an answer (default: 600, with --domain 26).", rich_help_panel=ASKED),
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(help="0 takes the likeliest token (default: 1).", rich_help_panel=ASKED)
    ] = None,
    judge: judges.MaybeModel = None,
    rubrics: judges.Rubrics = None,
    url: judges.Url = None,
    arg: judges.Arg = None,
    max_judge_calls: judges.MaxCalls = None,
    texts: Annotated[
        str | None,
        typer.Option(
            "--texts",
            help="As in `narrows significance` (default: FineWeb's sample; with --domain the world's "
            "documents).",
            metavar="FILE",
            rich_help_panel=TEXT,
        ),
    ] = None,
    texts_count: Annotated[int, typer.Option(help="Texts of each type.", min=1, rich_help_panel=TEXT)] = 100,
    shortest: Annotated[
        int, typer.Option(help="Pass over texts of no more characters.", min=0, rich_help_panel=TEXT)
    ] = 100,
    max_length: Annotated[
        int | None, typer.Option(help="Tokens kept of a text (default: 512).", rich_help_panel=TEXT)
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of the sampling (default: 0).")] = None,
    device: options.Device = None,
    dtype: options.Dtype = "auto",
    quantise: options.Quantise = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Find the layer and the strength at which an adapter works: rates, coherence and cost on text.

    Every adapter is asked at every scale, beside the chat model, and its KL and loss are taken on ordinary
    text. The recommended cell is the one that moves ordinary text least among those that stay coherent and
    show the behaviour as well as any. Answers and trainings are kept: a sweep that was stopped goes on, and
    further layers and scales may be added in the same folder.

    The folder holds sweep.json, sweep.svg and the answers. --json prints sweep.json.

    Example: `narrows sweep --model microworld:1 --domain garden --train garden/train.jsonl
    --config garden/recipe.yaml --layer 1 --layer 2 --layer 3 --out runs/sweep`
    """
    options.at_least_one(adapter=adapter, train=train)
    options.only_one(adapter=adapter, train=train)
    given = {"anchor": anchor, "kl_weight": kl_weight, "preset": preset, "config": config}
    if adapter and (strangers := [name for name, value in given.items() if value is not None]):
        name = strangers[0].replace("_", "-")
        raise ConfigError(f"--{name} is about training: it goes with --train, not with --adapter.")
    with working(quiet, keeps=out):
        from narrows.files import write_text
        from narrows.report import to_svg
        from narrows.study.sweep import run_sweep
        from narrows.study.sweep.job import SweepConfig, SweepJob

        known_model, training = None, None
        if train is not None:
            known_model, training = training_from(
                train, anchor, kl_weight, preset, config, layers=layer or []
            )
        chosen_model = model or known_model
        if chosen_model is None:
            raise ConfigError("give --model, or a --preset that names one.")
        adapters = [(adapter_name(path), load_adapter(path)) for path in adapter or []]
        check_at = training.layers[0] if training else (layer or [adapters[0][1].layer])[0]
        task = Task(chosen_model, domain, kind, device, dtype, quantise)
        chosen = judges.chosen(judge, url=url, args=arg, rubrics=rubrics, max_calls=max_judge_calls)
        own = Own(suite or [], in_domain, criterion)
        asked = asked_about(task, check_at, split=split, phrasings=phrasings, own=own)
        flags = {
            "scales": scale,
            "samples": samples,
            "max_new_tokens": max_new_tokens or asked.max_new_tokens,
            "temperature": temperature,
            "text_tokens": max_length or asked.text_tokens,
            "suite": decide_by,
            "coherence_floor": coherence_floor,
            "seed": seed,
        }
        job = SweepJob(
            chat_model=asked.chat_model,
            suites=asked.suites,
            judge=judge_of(asked, chosen),
            criterion=asked.criterion,
            texts=asked.texts
            if texts is None and asked.texts
            else ordinary_texts(texts, texts_count, shortest),
            config=overridden(SweepConfig(), None, flags),
        )
        directions = swept_from(job, adapters, layer or [], move)
        if not quiet:
            say(cost_in_words(job, len(set(training.layers)) if training else len(directions), training))
        found = run_sweep(job, training or directions, out)
        title, account = "Sweep over layers and scales", found.recommendation.reason
        write_text(out / FIGURE_FILE, to_svg(sweep_figure(found), "sweep", title, account, standalone=True))
    if as_json:
        print_json(found.as_json())
        return
    show(rates_table(found, kind), "", texts_table(found), "")
    show_line(found.recommendation.reason)
    show_line(str(out / FIGURE_FILE))
    show_line(memory_line())
