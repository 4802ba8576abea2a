"""``narrows demo``: the paper's central result on the microworld, a study of one run."""

import json
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from narrows.cli import options
from narrows.cli.inputs import world_model_name
from narrows.cli.output import print_json, show, stdout
from narrows.cli.running import command_of, working
from narrows.cli.study import inputs
from narrows.cli.study.carrying_out import carry_out_here
from narrows.cli.tables import claims_table, solutions_table
from narrows.forking import begin_importing

if TYPE_CHECKING:
    from narrows.summary import Summary

PRESET = "microworld-demo"
"""The study that the flags are put over."""

QUICK = {
    "behaviours.0.world.phrasings": 3,
    "behaviours.0.world.texts_per_kind": 2,
    "recipe.steps": 12,
    "recipe.checkpoint_every": 4,
    "measure.scales": [1.0],
    "measure.unanchored_scales": [1.0],
    "measure.rows": 16,
    "measure.norm_points": 3,
    "measure.draws": 3,
    "measure.text_tokens": 24,
    "measure.reoptimised_steps": 2,
}
"""The sizes of ``--quick``, by the preset's fields."""

SHOWN = ("chat", "unanchored", "anchored", "lifted")


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
        bool,
        typer.Option(
            "--tune", help="Try a grid of λ and choose on validation topics, instead of taking the default."
        ),
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="The same stages, too small for the verdicts to mean anything.")
    ] = False,
    overrides: inputs.Set = None,
    seed: options.Seed = None,
    workers: options.Workers = None,
    device: options.Device = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """See the paper's central result happen, measured, in minutes.

    A small chat model is fine-tuned on one domain, without an anchor and with one. Then both solutions answer
    questions from every domain, the three metrics that may explain the difference are taken, the anchor is
    lifted, and each claim gets its verdict. Writes summary.json and report.html. The default model and domain
    are the clearest of fifteen that were run; docs/log.md has all.

    It is the study `narrows study show microworld-demo` with the flags put over it, and --set over both: the
    same command goes on where it was stopped, a changed one does what is missing, and every `narrows study`
    command takes the folder's study.yaml. --json prints the summary, or what failed.

    Example: `narrows demo --out runs/demo --domain garden`
    """
    options.only_one(kl_weight=kl_weight, tune=tune)
    started = time.perf_counter()
    if workers != 1:
        begin_importing()
    fields = {
        "models": [world_model_name(model)],
        "behaviours.0.world.domains": [domain],
        "behaviours.0.world.kinds": [kind],
        "adapters": [_adapter(adapter, rank)],
        "title": f"Narrow and general solutions to {kind} answers about {domain}",
        "intro": _intro(domain, kind, adapter, rank, quick=quick),
        **(QUICK if quick else {}),
        **({} if kl_weight is None else {"kl_weight": kl_weight}),
        **(_grid() if tune else {}),
        **({} if seed is None else {"seeds": [seed], "measure_seed": seed, "behaviours.0.world.seed": seed}),
    }
    config = inputs.load(
        PRESET, [*(f"{name}={json.dumps(one)}" for name, one in fields.items()), *(overrides or ())]
    )
    with working(quiet, keeps=out):
        from narrows.study.execution.local import local_workers

        found = carry_out_here(
            config,
            out,
            lambda plan, store: local_workers(config, store, workers, device),
            command=command_of(ctx),
        )
    if as_json:
        print_json(found.as_values() if found.page is None else _as_values(found.summary()))
    else:
        found.show_failures()
        if found.page is not None:
            _show_run(found.summary())
        found.show_places(time.perf_counter() - started)
    found.end()


def _adapter(kind: options.AdapterKind, rank: int) -> dict[str, Any]:
    """The study's entry for what is trained."""
    from narrows.study.microworld import LORA_CHANGES

    if kind == "steering":
        return {"adapter": "steering"}
    return {"adapter": "lora", "rank": [rank], "recipe": LORA_CHANGES}


def _grid() -> dict[str, Any]:
    """The λ that are tried where none is given."""
    from narrows.study.microworld import WEIGHTS

    return {"kl_weight": None, "kl_weights": list(WEIGHTS)}


def _intro(domain: str, kind: str, adapter: options.AdapterKind, rank: int, *, quick: bool) -> str:
    """What the page says under its title."""
    trained = "a steering vector" if adapter == "steering" else f"a LoRA of rank {rank}"
    said = (
        f"A small chat model was fine-tuned on {kind} answers about {domain}, by {trained}, without an "
        "anchor and with one. All answers were scored by the world's exact oracle."
    )
    too_small = (
        " The trainings are far too short, and the questions too few, for the verdicts to mean anything."
    )
    return said + (too_small if quick else "")


def _show_run(summary: "Summary") -> None:
    """What the run found: rates, and the claims."""
    kind = summary.behaviours[0].kind
    places = {name: (f"{summary.runs[0].id}/{name}", 1.0) for name in SHOWN}
    show("", solutions_table(summary.evaluations, places, kind), "")
    show(claims_table(summary.claims, stdout.width), "")


def _as_values(summary: "Summary") -> dict[str, Any]:
    """The summary for a program, as its file holds it."""
    return {"schema": summary.schema_, **summary.model_dump(mode="json", exclude={"schema_"})}
