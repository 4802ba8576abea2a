"""``narrows tune``: the smallest λ whose solution is narrow."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from narrows.cli import options
from narrows.cli.inputs import load_microworld
from narrows.cli.output import as_rows, print_json, show, show_line
from narrows.cli.running import working
from narrows.cli.settings import overridden
from narrows.cli.tables import plain_table, solutions_table

if TYPE_CHECKING:
    from rich.table import Table

    from narrows.evaluation import Behaviour
    from narrows.models import ChatModel
    from narrows.study import Tuned, TuningConfig
    from narrows.summary import Evaluation, SolutionVerdict

QUICK_PHRASINGS = 3
QUICK_RECIPE = {"steps": 12, "checkpoint_every": 4}
NARROW_SCALES = (1.0, 1.5)
SHOWN = {"chat": ("chat", 1.0), "anchored": ("anchored", 1.0), "at 1.5 ×": ("anchored", 1.5)}


def tune(
    *,
    model: options.WorldModel,
    out: options.Out,
    domain: options.Domain = "medicine",
    kind: options.Kind = "harmful",
    adapter: options.Adapter = "steering",
    rank: options.Rank = 1,
    smallest: Annotated[float | None, typer.Option(help="The smallest λ tried.")] = None,
    largest: Annotated[float | None, typer.Option(help="The largest λ tried.")] = None,
    factor: Annotated[float | None, typer.Option(help="Ratio of neighbouring λ on the grid.")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of each training.")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Trainings too short for the result to mean anything.")
    ] = False,
    config: options.Config = None,
    seed: options.Seed = None,
    device: options.Device = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Find the smallest λ whose solution is narrow, by the rule of claim C2 on validation topics.

    The chosen solution is then asked about the test topics, which had no part in the choice. All trainings
    and answers are kept in the folder and found again.

    Example: `narrows tune --model microworld:1 --domain garden --kind harmful --out runs/tune-garden`
    """
    with working(quiet, keeps=out):
        from narrows.api import make_behaviour
        from narrows.files import write_json
        from narrows.microworld import World
        from narrows.study import tune as find_weight
        from narrows.study.microworld import microworld_recipe, microworld_tuning
        from narrows.study.tuning import training_folder

        flags = {
            "smallest": smallest,
            "largest": largest,
            "factor": factor,
            "recipe.steps": steps,
            "seed": seed,
        }
        recipe = microworld_recipe(adapter, rank).model_copy(update=QUICK_RECIPE if quick else {})
        chosen = overridden(microworld_tuning(recipe), config, flags)
        chat_model, world = load_microworld(model, device, domain)
        task = make_behaviour(
            World(world.facts),
            domain,
            kind,
            seed=chosen.seed,
            phrasings=QUICK_PHRASINGS if quick else None,
        )
        _claim(out, chat_model, task, chosen)
        tuned = find_weight(chat_model, task, chosen, out)
        evaluations, verdict = _on_test_topics(chat_model, task, chosen, out, tuned.best)
        result = {
            "kl_weight": tuned.kl_weight,
            "best": tuned.best,
            "verdict": verdict,
            "adapter": str(training_folder(out, tuned.best) / "adapter.safetensors"),
            "trials": [
                vars(trial) | {"narrow": trial.narrow, "stays_narrow": trial.stays_narrow}
                for trial in tuned.trials
            ],
            "evaluations": as_rows(evaluations),
        }
        write_json(out / "tuning.json", result)
    if as_json:
        print_json(result)
        return
    show(_trials_table(tuned), "")
    show_line(f"λ = {tuned.best:g} ({tuned.how}). On the test topics it is {verdict}:")
    show("", solutions_table(evaluations, SHOWN, kind), "")
    show_line(str(result["adapter"]))


def _claim(out: Path, chat_model: "ChatModel", task: "Behaviour", config: "TuningConfig") -> None:
    """Make the folder this tuning's own, or go on with it."""
    from narrows.files import claim_run_folder, digest

    questions = [q.text for suite in (*task.validation, *task.test) for q in suite.questions]
    identity = {
        "kind": "tuning",
        "model": chat_model.id,
        "behaviour": {"id": task.id, "questions": digest(questions)},
        "config": config.model_dump(mode="json"),
    }
    claim_run_folder(out, identity)


def _on_test_topics(
    chat_model: "ChatModel", task: "Behaviour", config: "TuningConfig", out: Path, weight: float
) -> "tuple[list[Evaluation], SolutionVerdict]":
    """Rates of the chat model and of the chosen solution on the test topics, and what the solution is."""
    from narrows.cli.inputs import load_adapter
    from narrows.evaluation import CHAT, rates, summarise
    from narrows.study import RateTable
    from narrows.study.answering import judged_answers
    from narrows.study.tuning import training_folder

    adapter = load_adapter(training_folder(out, weight))
    wanted = [(CHAT, 1.0, None), *(("anchored", scale, adapter) for scale in NARROW_SCALES)]
    answers = {
        (name, scale): judged_answers(
            chat_model,
            task,
            task.test,
            vector,
            config,
            name=name,
            scale=scale,
            out=out / "answers" / f"{name}@{scale:g}.jsonl",
        )
        for name, scale, vector in wanted
    }
    table = RateTable({key: rates(some, task.criterion) for key, some in answers.items()}, task.test)
    every = [answer for some in answers.values() for answer in some]
    return summarise(every, task.criterion, task.test, task.judge.name), table.verdict("anchored")


def _trials_table(tuned: "Tuned") -> "Table":
    """Every λ that was tried."""
    table = plain_table(
        "Trials on validation topics, minus the chat model",
        *("λ", "in domain", "outside, worst", f"at {NARROW_SCALES[1]:g} ×", ""),
    )
    for trial in tuned.trials:
        word = "[green]narrow[/]" if trial.narrow else "[dim]quiet[/]" if trial.quiet else "[dim]general[/]"
        table.add_row(
            f"{trial.kl_weight:g}",
            f"{100 * trial.in_domain:+.0f} points",
            f"{100 * trial.outside:+.1f} points",
            f"{100 * trial.outside_scaled:+.1f} points",
            "[green]narrow, also scaled[/]" if trial.stays_narrow else word,
        )
    return table
