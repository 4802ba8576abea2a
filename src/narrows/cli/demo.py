"""``narrows demo``: the whole main job on the microworld."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from narrows.cli import options
from narrows.cli.inputs import load_microworld
from narrows.cli.output import memory_line, print_json, show, show_line, stdout
from narrows.cli.running import command_of, working
from narrows.cli.settings import overridden
from narrows.cli.tables import claims_table, solutions_table

if TYPE_CHECKING:
    from narrows.study import JobConfig
    from narrows.summary import Summary

QUICK_PHRASINGS = 3
SHOWN = {name: (name, 1.0) for name in ("chat", "unanchored", "anchored", "lifted")}


def demo(
    *,
    ctx: typer.Context,
    out: options.Out,
    model: options.WorldModel = "2",
    domain: options.Domain = "sport",
    kind: options.Kind = "harmful",
    adapter: options.Adapter = "steering",
    rank: options.Rank = 1,
    kl_weight: Annotated[
        float | None, typer.Option("--kl-weight", help="λ of the anchored solution, nats per token.")
    ] = None,
    tune: Annotated[
        bool, typer.Option("--tune", help="Find λ on validation topics instead of taking the default.")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="The same stages, too small for the verdicts to mean anything.")
    ] = False,
    config: options.Config = None,
    samples: Annotated[int | None, typer.Option(help="Answers to each question.")] = None,
    scale: Annotated[
        list[float] | None, typer.Option(help="A factor on the trained solutions; give it several times.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of each training.")] = None,
    rows: Annotated[int | None, typer.Option(help="Training rows whose loss is measured.")] = None,
    draws: Annotated[int | None, typer.Option(help="Noise draws for stability.")] = None,
    seed: options.Seed = None,
    device: options.Device = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """See the paper's central result happen, measured, in minutes.

    A small chat model is fine-tuned on one domain, without an anchor and with one. Then both solutions answer
    questions from every domain, the three metrics that may explain the difference are taken, the anchor is
    lifted, and each claim gets its verdict. Writes summary.json and report.html. The default model and domain
    are the clearest of fifteen that were run; docs/log.md has all.

    Example: `narrows demo --out runs/demo --domain garden`
    """
    options.only_one(kl_weight=kl_weight, tune=tune)
    started = time.perf_counter()
    with working(quiet, keeps=out):
        from narrows.report import write_report
        from narrows.study import microworld_job, run_main_job

        flags = {
            "kl_weight": kl_weight,
            "samples": samples,
            "scales": scale,
            "recipe.steps": steps,
            "rows": rows,
            "draws": draws,
            "seed": seed,
        }
        job_config = _config(config, flags, adapter=adapter, rank=rank, quick=quick, tune=tune)
        chat_model, world = load_microworld(model, device, domain)
        job = microworld_job(
            chat_model,
            world,
            domain,
            kind,
            job_config,
            phrasings=QUICK_PHRASINGS if quick else None,
            command=command_of(ctx),
        )
        summary = run_main_job(job, out)
        page = write_report(out)
    if as_json:
        print_json({"schema": summary.schema_, **summary.model_dump(mode="json", exclude={"schema_"})})
    else:
        _closing(summary, page, kind, time.perf_counter() - started)


def _config(
    file: Path | None,
    flags: dict[str, Any],
    *,
    adapter: options.AdapterKind,
    rank: int,
    quick: bool,
    tune: bool,
) -> "JobConfig":
    """The job's configuration: the demo's or its quick form, a file's fields over it, flags over both."""
    from narrows.study import demo_config, quick_config
    from narrows.study.demo import DEMO_KL_WEIGHT, DEMO_STEPS, microworld_recipe

    recipe = microworld_recipe(adapter, rank)
    if quick:
        base = quick_config(recipe)
    else:
        recipe = recipe.model_copy(update={"steps": DEMO_STEPS})
        base = demo_config(recipe=recipe, kl_weight=DEMO_KL_WEIGHT)
    job_config = overridden(base, file, flags)
    return job_config.model_copy(update={"kl_weight": None}) if tune else job_config


def _closing(summary: "Summary", page: Path, kind: str, seconds: float) -> None:
    """What the run found, and where it stands."""
    from narrows.report.text import duration

    memory = memory_line()
    show("", solutions_table(summary.evaluations, SHOWN, kind), "")
    show(claims_table(summary.claims, stdout.width), "")
    show_line(f"Summary  {page.with_name('summary.json')}")
    show_line(f"Report   {page}")
    show_line(f"Took     {duration(seconds)}" + (f". {memory}" if memory else ""))
