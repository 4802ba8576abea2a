"""``narrows monitor``: watch directions over trainings and in answers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from narrows.cli import options
from narrows.cli.inputs import adapter_name, load_model, read_anchor, read_run
from narrows.cli.output import print_json, show, show_line
from narrows.cli.running import working
from narrows.cli.watching_tables import answers_table, detection_table, ranked, runs_table
from narrows.errors import ConfigError

if TYPE_CHECKING:
    from narrows.chat import Conversation
    from narrows.geometry.monitoring import Look, Monitor

app = typer.Typer(
    help="Watch directions over trainings and in answers, with alarms of a stated false-positive rate.",
    no_args_is_help=True,
)

MonitorFile = Annotated[
    Path, typer.Option("--monitor", help="A monitor's file (`narrows monitor calibrate`).", metavar="FILE")
]
MaybeModel = Annotated[
    str | None,
    typer.Option("--model", help="The chat model (default: where the monitor's was).", metavar="MODEL"),
]


@app.command("calibrate")
def calibrate(
    *,
    model: options.Model,
    direction: Annotated[
        list[Path],
        typer.Option(
            help="What to watch: a direction's or a steering vector's file or run; give it several times. It "
            "must point towards what is to be seen.",
            metavar="FILE",
        ),
    ],
    probe: Annotated[
        str,
        typer.Option(
            help="What the models read at each look: the questions of a suite or of chats, as prompts, or "
            "texts (.txt).",
            metavar="NAME|FILE",
        ),
    ],
    benign: Annotated[
        list[Path],
        typer.Option(
            help="A benign run's folder; give it several times. 5 % needs 19 of them.", metavar="RUN"
        ),
    ],
    out: Annotated[Path, typer.Option(help="The monitor's file, .json.", metavar="FILE")],
    false_positives: Annotated[
        float, typer.Option(help="The rate of benign runs that may alarm, over their whole length.")
    ] = 0.05,
    by: Annotated[
        Literal["run", "step"],
        typer.Option(
            help="What a look is held against: 'run', the most that the benign runs reach at any step; "
            "'step', what they do at the same step (can alarm earlier; only for runs of the same recipe)."
        ),
    ] = "run",
    rows: Annotated[int, typer.Option(help="Rows of the probe set, from the top.", min=1)] = 64,
    max_length: Annotated[int, typer.Option(help="Tokens kept of a probe row.", min=2)] = 128,
    device: options.Device = None,
    dtype: options.Dtype = "auto",
    quantise: options.Quantise = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Make a monitor, with a threshold from benign runs.

    A look is the mean effect of the weights along a direction over the probe set's tokens; a run's score is
    its largest over all looks. The threshold keeps the stated rate for runs that are drawn like the benign
    ones, are as long and are looked at as often. With several directions, and by step, each look is
    standardised by the benign runs' mean and deviation, and the largest counts.

    Example: `narrows monitor calibrate --model microworld:1 --direction general.safetensors
    --probe probe.jsonl --benign runs/sound-1 --benign runs/sound-2 --false-positives 0.4 --out monitor.json`
    """
    with working(quiet):
        from narrows.adapters import Direction
        from narrows.geometry.monitoring import Monitor, Probe

        directions = [Direction.load(path, adapter_name(path)) for path in direction]
        runs = {name: read_run(path) for name, path in _named(benign).items()}
        chat_model = load_model(model, device, directions[0].layer, dtype=dtype, quantise=quantise)
        read = Probe.of(chat_model, _probe_items(probe)[:rows], max_length, probe)
        monitor = Monitor.of(chat_model, directions, read)
        looks = _looks(monitor, chat_model, runs)
        monitor = monitor.with_benign(looks, false_positives, by)
        monitor.save(out)
    calibration = monitor.calibrated()
    result = {"monitor": str(out), "probe": read.digest, "rows": len(read.rows), **calibration.to_json()}
    if as_json:
        print_json(result)
        return
    show(runs_table("Benign runs", monitor, looks))
    show_line(
        f"Threshold {calibration.threshold:.4g}: at most {100 * false_positives:g} % of runs like these "
        f"{len(runs)} pass it, up to step {calibration.last_step} · by {calibration.by} · {out}"
    )


@app.command("runs")
def runs(
    *,
    runs: Annotated[
        list[Path],
        typer.Argument(help="Folders of training runs.", metavar="RUN…", show_default=False),
    ],
    monitor: MonitorFile,
    benign: Annotated[
        list[Path] | None,
        typer.Option(
            help="A benign run that the monitor was not calibrated on; give it several times. Then RUN… are "
            "the harmful ones, and it is reported how well they are told apart.",
            metavar="RUN",
        ),
    ] = None,
    model: MaybeModel = None,
    device: options.Device = None,
    dtype: options.Dtype = "auto",
    quantise: options.Quantise = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Look at all checkpoints of finished runs: score, first alarm, and projections by step.

    Example: `narrows monitor runs runs/suspect --monitor monitor.json --json`
    """
    with working(quiet):
        from narrows.geometry.monitoring import Monitor, MonitoredRun, described, detection

        watcher = Monitor.load(monitor)
        paths = _named([*runs, *(benign or [])])
        if benign and watcher.calibration and (again := set(_named(benign)) & set(watcher.calibration.runs)):
            raise ConfigError(
                f"the monitor was calibrated on {', '.join(sorted(again))}: its false-positive rate can only "
                "be tested on other runs."
            )
        read = {name: read_run(path) for name, path in paths.items()}
        chat_model = load_model(
            model or watcher.model, device, watcher.directions[0].layer, dtype=dtype, quantise=quantise
        )
        looks = _looks(watcher, chat_model, read)
        result: dict[str, Any] = {
            "monitor": str(monitor),
            "runs": {name: described(watcher, some) for name, some in looks.items()},
        }
        if benign:
            from narrows.geometry.monitoring.band import later
            from narrows.study.watching import as_plain

            seen = {
                name: MonitoredRun(name, max(map(watcher.score, later(some))), watcher.alarm(some))
                for name, some in looks.items()
            }
            harmful, ordinary = ([seen[name] for name in _named(some)] for some in (runs, benign))
            result["detection"] = as_plain(detection(ordinary, harmful))
    if as_json:
        print_json(result)
        return
    show(runs_table("Runs", watcher, looks))
    if benign:
        show("", detection_table(result["detection"]))


@app.command("answers")
def answers(
    *,
    model: options.Model,
    direction: Annotated[
        Path, typer.Option(help="A direction's or a steering vector's file or run.", metavar="FILE")
    ],
    answers: Annotated[
        Path,
        typer.Option(
            help="Answers, judged or not: a table (.jsonl), an Inspect log, or published results (.csv).",
            metavar="TABLE",
        ),
    ],
    adapter: Annotated[
        Path | None,
        typer.Option(
            help="The solution that gave the answers: they are read with it on (default: the chat model "
            "reads them again).",
            metavar="FILE",
        ),
    ] = None,
    criterion: Annotated[
        str, typer.Option(help="What the projection is held against, as in `narrows rates`.")
    ] = "misaligned",
    top: Annotated[int, typer.Option(help="Answers shown.", min=1)] = 10,
    device: options.Device = None,
    dtype: options.Dtype = "auto",
    quantise: options.Quantise = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Rank answers by how far their tokens lie along a direction; hold that against the judge's verdicts.

    The AUROC's interval is over questions.

    Example: `narrows monitor answers --model microworld:1 --direction general.safetensors
    --answers runs/general/answers.jsonl`
    """
    with working(quiet):
        from narrows.adapters import Direction
        from narrows.cli.inputs import load_adapter
        from narrows.evaluation.criteria import criterion_of
        from narrows.evaluation.results import read_results
        from narrows.geometry.monitoring import answer_projections, ranked_answers

        counts = criterion_of(criterion)
        watched = Direction.load(direction)
        solution = load_adapter(adapter) if adapter else None
        table = read_results(answers)
        given = sorted({(one.adapter, one.scale) for one in table})
        if solution is not None and len(given) > 1:
            raise ConfigError(
                f"{answers} holds the answers of "
                f"{', '.join(f'{name} × {scale:g}' for name, scale in given)}: with --adapter they must all "
                "be that one's."
            )
        if solution is not None:
            solution = solution.scaled(given[0][1])
        chat_model = load_model(model, device, watched.layer, dtype=dtype, quantise=quantise)
        found = ranked_answers(table, answer_projections(chat_model, table, watched, solution), counts)
    if as_json:
        print_json(ranked(found, "adapter" if adapter else "chat"))
        return
    show(answers_table(found, top))
    area = found.auroc
    show_line(
        "No AUROC: there are not both kinds of verdict."
        if area is None
        else f"AUROC {area.value:.3f} [{area.low:.3f}, {area.high:.3f}] over {area.clusters} questions: "
        f"{area.positives} answers that show the behaviour, {area.negatives} that do not"
    )


def _probe_items(source: str) -> "Sequence[Conversation | str]":
    """Texts from a ``.txt`` file, or questions as prompts from whatever holds some."""
    from narrows.chat import Conversation
    from narrows.evaluation import choose_suites

    if source.endswith(".txt"):
        return read_anchor(source)
    questions = (question for suite in choose_suites([source]) for question in suite.questions)
    return [Conversation(one.messages(), f"question {one.id} of {source}") for one in questions]


def _named(folders: Sequence[Path]) -> dict[str, Path]:
    """Runs by their names.

    Raises:
        ConfigError: two have the same name.
    """
    named: dict[str, Path] = {}
    for folder in folders:
        name = adapter_name(folder)
        if name in named:
            raise ConfigError(
                f"{named[name]} and {folder} have the same name: rename one of the two folders."
            )
        named[name] = folder
    return named


def _looks(monitor: "Monitor", chat_model: Any, runs: Mapping[str, Any]) -> "dict[str, list[Look]]":  # noqa: ANN401
    """All looks at all runs, with a bar."""
    from narrows.progress import bar

    looks = {}
    with bar("looking at checkpoints", total=len(runs)) as shown:
        for name, run in runs.items():
            looks[name] = monitor.watch(chat_model, run)
            shown.advance()
    return looks
