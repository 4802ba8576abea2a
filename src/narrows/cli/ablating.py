"""``narrows ablate``: what taking a direction out of a fine-tune does to it."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from narrows.cli import judges, options
from narrows.cli.inputs import adapter_name, load_adapter
from narrows.cli.intervening import SITE_HELP, load_directions
from narrows.cli.output import as_rows, memory_line, print_json, show, show_line
from narrows.cli.running import say, working
from narrows.cli.settings import overridden
from narrows.cli.sweep_inputs import Own, Task, asked_about, judge_of, ordinary_texts
from narrows.cli.tables import measured_cell, plain_table

if TYPE_CHECKING:
    from rich.table import Table

    from narrows.interventions import Site
    from narrows.study.ablation.cells import AblationCell, State
    from narrows.study.ablation.running import Ablations

ASKED, TEXT = "Questions and their judge", "Ordinary text"
SHOWN = {"in_domain": "in domain", "out_of_domain": "other domains", "open": "open"}


def ablate(
    *,
    model: options.Model,
    direction: Annotated[
        list[Path],
        typer.Option(
            "--direction",
            help="A direction: any steering vector's file, its run's folder, or hub:owner/name; give it "
            "several times.",
            metavar="FILE",
        ),
    ],
    out: options.Out,
    adapter: Annotated[
        Path | None,
        typer.Option(
            "--adapter",
            help="The fine-tune in which they are ablated: an adapter's file, its run's folder, or "
            "hub:owner/name (default: the model itself, for a full fine-tune).",
            metavar="FILE",
        ),
    ] = None,
    site: Annotated[
        list[str] | None,
        typer.Option(
            "--site", help=f"Where; give it several times (default: layers). {SITE_HELP}", metavar="SITE"
        ),
    ] = None,
    together: Annotated[
        bool,
        typer.Option("--together", help="Take all directions out at once, the subspace that they span."),
    ] = False,
    control: Annotated[
        list[str] | None,
        typer.Option(
            help="A random direction ablated beside: random, or random-covariance (it points where "
            "activations vary: harder); give it several times (default: random).",
            metavar="KIND",
        ),
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
            help="Which of the microworld's held-out topics are asked about.", rich_help_panel=ASKED
        ),
    ] = "test",
    phrasings: Annotated[
        int | None,
        typer.Option(
            help="How many of the microworld's question phrasings (default: 6).",
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
            "--text",
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
    seed: Annotated[int | None, typer.Option(help="Of the sampling and the random directions.")] = None,
    device: options.Device = None,
    dtype: options.Dtype = "auto",
    quantise: options.Quantise = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Take directions out of a fine-tune's stream: rates, coherence and loss on text, before and after.

    The directions may come from anywhere: the fine-tune itself, another one, a mean difference. All answers
    are drawn with the same random numbers, so that changes are paired, and random directions are ablated
    beside. Answers are kept: a run that was stopped goes on, and more directions and sites may be added in
    the same folder. It holds ablation.json (which --json prints, with summary.json's rows) and summary.json.

    Example: `narrows ablate --model microworld:1 --adapter runs/general --direction runs/other-domain
    --domain garden --site layers --out runs/ablated`
    """
    with working(quiet, keeps=out):
        from narrows.study.ablation.job import AblationConfig, AblationJob, answers_needed, planned_cells
        from narrows.study.ablation.running import ablate_and_measure

        fine_tune = None if adapter is None else load_adapter(adapter)
        found = load_directions(direction)
        wanted = {name: [one] for name, one in found.items()}
        if together:
            wanted = {" and ".join(found): list(found.values())}
        task = Task(model, domain, kind, device, dtype, quantise)
        chosen = judges.chosen(judge, url=url, args=arg, rubrics=rubrics, max_calls=max_judge_calls)
        check_at = (fine_tune or next(iter(found.values()))).layer
        own = Own(suite or [], in_domain, criterion)
        asked = asked_about(task, check_at, split=split, phrasings=phrasings, own=own)
        flags = {
            "controls": control,
            "samples": samples,
            "max_new_tokens": max_new_tokens or asked.max_new_tokens,
            "temperature": temperature,
            "text_tokens": max_length or asked.text_tokens,
            "seed": seed,
        }
        job = AblationJob(
            chat_model=asked.chat_model,
            suites=asked.suites,
            judge=judge_of(asked, chosen),
            criterion=asked.criterion,
            texts=asked.texts
            if texts is None and asked.texts
            else ordinary_texts(texts, texts_count, shortest),
            config=overridden(AblationConfig(), None, flags),
        )
        sites = cast("list[Site]", site or ["layers"])
        if not quiet:
            cells = len(planned_cells(job, wanted, sites))
            needed = answers_needed(job, cells, adapter=adapter is not None)
            say(
                f"{needed:,} answers: {cells} ablations, controls among them, beside the model as it is "
                "(those in the folder are kept)."
            )
        name = "chat" if adapter is None else adapter_name(adapter)
        measured = ablate_and_measure(job, fine_tune, wanted, out, sites=sites, name=name)
    if as_json:
        print_json(measured.as_json() | {"interventions": as_rows(measured.rows)})
        return
    show(rates_table(measured, kind), "", texts_table(measured), "")
    show_line(str(out))
    show_line(memory_line())


def rates_table(found: "Ablations", behaviour: str) -> "Table":
    """How the chat model and the fine-tune behave, and what each ablation leaves of that."""
    from rich.markup import escape

    suites = [name for name in SHOWN if name in found.before.rates] or list(found.before.rates)
    names = [SHOWN.get(name, escape(name)) for name in suites]
    table = plain_table(f"Share of {behaviour} answers, 95 %", "", *names, "coherent")
    for name, one in _states(found).items():
        rates = (measured_cell(one.rates.get(suite)) for suite in suites)
        table.add_row(name, *rates, measured_cell(one.coherent_everywhere))
    for name, cell in _cells(found, table):
        changes = [cell.suites.get(suite) for suite in suites]
        rates = (measured_cell(None if one is None else one.after) for one in changes)
        table.add_row(name, *rates, measured_cell(cell.coherent))
    return table


def texts_table(found: "Ablations") -> "Table":
    """What the fine-tune and each ablation do to the loss on ordinary text."""
    table = plain_table("Loss on ordinary text, nats per token", "", "loss", "× before, 95 %")
    for name, one in _states(found).items():
        table.add_row(name, f"{one.text_loss.value:.3f}", "")
    for name, cell in _cells(found, table):
        ratio = cell.text_ratio
        ends = f"[dim]\\[{ratio.low:.3f}, {ratio.high:.3f}][/]"
        table.add_row(name, f"{cell.text_loss.value:.3f}", f"{ratio.value:.3f} {ends}")
    return table


def _states(found: "Ablations") -> "dict[str, State]":
    """The chat model and, if there is one, the fine-tune."""
    from rich.markup import escape

    alone = found.before is found.chat
    return {"chat model": found.chat} | ({} if alone else {escape(found.solution): found.before})


def _cells(found: "Ablations", table: "Table") -> "Iterator[tuple[str, AblationCell]]":
    """Every cell with the name of its row; each site gets a row of its own above its cells."""
    from rich.markup import escape

    site = ""
    for cell in found.cells:
        if cell.site != site:
            site = cell.site
            table.add_row(f"without, at {site}")
        yield f"  {escape(cell.direction)}{' [dim](control)[/]' if cell.control else ''}", cell
