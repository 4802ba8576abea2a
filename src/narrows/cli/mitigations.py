"""``narrows mitigations``: what keeps a fine-tune narrow, side by side, on the microworld."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from narrows.cli import options
from narrows.cli.inputs import load_microworld
from narrows.cli.output import as_rows, print_json, show, show_line, stdout
from narrows.cli.running import command_of, working
from narrows.cli.settings import overridden
from narrows.cli.tables import MISSING, WIDE, plain_table, rate_cell

if TYPE_CHECKING:
    from rich.table import Table

    from narrows.summary import Evaluation, Interval, Mitigation, Summary

METHODS = {
    "none": "no mitigation",
    "anchor": "KL anchor",
    "mixing": "data mixing",
    "inoculation": "inoculation",
    "preventative": "preventative",
    "ablation": "ablation",
}
SUITES = {
    "in_domain": "in domain",
    "out_of_domain": "other domains",
    "never_anchored": "never anchored",
    "open": "open",
}
QUICK_PHRASINGS = 3
QUICK_STEPS = 40


def mitigations(
    *,
    ctx: typer.Context,
    out: options.Out,
    model: options.WorldModel = "2",
    domain: options.Domain = "sport",
    kind: options.Kind = "harmful",
    adapter: options.Adapter = "steering",
    rank: options.Rank = 1,
    other: Annotated[
        str | None,
        typer.Option(
            help="The domain in whose fine-tune the direction is found (default: the next one).",
            metavar="DOMAIN",
        ),
    ] = None,
    kl_weight: Annotated[
        list[float] | None, typer.Option(help="A λ of the anchor, nats per token; give it several times.")
    ] = None,
    share: Annotated[
        list[float] | None,
        typer.Option(help="Data mixing: a share of the behaviour's rows; give it several times."),
    ] = None,
    strength: Annotated[
        list[float] | None,
        typer.Option(
            help="Preventative steering: a norm, in lengths of the direction; give it several times."
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Trainings too short for the result to mean anything.")
    ] = False,
    config: options.Config = None,
    samples: Annotated[int | None, typer.Option(help="Answers to each question.")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of each training.")] = None,
    seed: options.Seed = None,
    device: options.Device = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Put five ways of keeping a fine-tune narrow side by side: rates, coherence and cost of each.

    A KL anchor, sound rows mixed in, prompt inoculation, preventative steering, and ablation while the model
    answers, each at several strengths and beside no mitigation at all. A good one keeps the rate in the
    domain and lowers those elsewhere. All trainings and answers are kept in the folder and found again.
    Takes some minutes. Writes summary.json and report.html. Any other model and behaviour:
    narrows.study.mitigations.run_mitigations.

    Example: `narrows mitigations --model microworld:1 --domain garden --out runs/mitigations`
    """
    with working(quiet, keeps=out):
        from narrows.report import write_report
        from narrows.study.microworld import PHRASINGS, SHORT_STEPS, microworld_recipe
        from narrows.study.mitigations import microworld_mitigations, mitigations_config, run_mitigations

        recipe = microworld_recipe(adapter, rank)
        recipe = recipe.model_copy(update={"steps": QUICK_STEPS if quick else SHORT_STEPS})
        flags = {
            "kl_weights": kl_weight,
            "shares": share,
            "strengths": strength,
            "samples": samples,
            "recipe.steps": steps,
            "seed": seed,
        }
        job_config = overridden(mitigations_config(recipe), config, flags)
        chat_model, world = load_microworld(model, device, domain)
        job = microworld_mitigations(
            chat_model,
            world,
            domain,
            kind,
            job_config,
            other=other,
            phrasings=QUICK_PHRASINGS if quick else PHRASINGS,
            command=command_of(ctx),
        )
        summary = run_mitigations(job, out)
        page = write_report(out)
    if as_json:
        print_json(as_rows(summary.mitigations))
    else:
        _closing(summary, page, kind)


def _closing(summary: "Summary", page: Path, kind: str) -> None:
    show("", rates_table(summary, kind, stdout.width), "", costs_table(summary.mitigations), "")
    show_line(f"Summary  {page.with_name('summary.json')}")
    show_line(f"Report   {page}")


def rates_table(summary: "Summary", behaviour: str, width: int = 80) -> "Table":
    """Rates of the chat model and of every mitigation at every scale; all intervals on a wide terminal."""
    wide = width >= WIDE
    suites = SUITES if wide else {field: name for field, name in SUITES.items() if field != "never_anchored"}
    table = plain_table(f"Share of {behaviour} answers, 95 %", "", *suites.values(), "coherent")
    chat = {one.suite: one for one in summary.evaluations if one.solution == "chat"}
    evaluated = {"never_anchored": "out_of_domain:never_anchored"}
    cells = (_evaluated(chat.get(evaluated.get(field, field))) for field in suites)
    table.add_row("chat model", *cells, "", style="dim")
    for row in summary.mitigations:
        name = _name(row) if row.scale == 1 else f"[dim]  at {row.scale:g} ×[/]"
        rates = (_rate(getattr(row, field), getattr(row, f"{field}_ci95")) for field in suites)
        coherent = _rate(row.coherent, row.coherent_ci95) if wide else f"{100 * row.coherent:.0f} %"
        table.add_row(name, *rates, coherent)
    return table


def costs_table(rows: "list[Mitigation]") -> "Table":
    """What every mitigation takes: in training, before it, while the model answers, and to have at hand."""
    from narrows.report.text import duration

    table = plain_table(
        "What each takes", "", "needs", "rows", "tokens", "training", "direction", "answering",
        words=2,
    )  # fmt: skip
    for row in rows:
        if row.scale == 1:
            table.add_row(
                _name(row),
                ", ".join(row.needs),
                f"{row.training_rows:,}",
                f"{row.training_tokens:,}",
                duration(row.training_seconds),
                duration(row.preparation_seconds) if row.preparation_seconds else "",
                "" if row.inference_ratio is None else f"{row.inference_ratio:.2f} ×",
            )
    return table


def _name(row: "Mitigation") -> str:
    from rich.markup import escape

    return escape(f"{METHODS[row.method]} {row.setting}".strip())


def _evaluated(one: "Evaluation | None") -> str:
    return MISSING if one is None else rate_cell(one.misaligned, one.misaligned_ci95)


def _rate(rate: float | None, bounds: "Interval | None") -> str:
    return MISSING if rate is None or bounds is None else rate_cell(rate, bounds)
