"""``narrows judge`` and ``narrows rejudge``: answers judged by a language model, and by another."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from narrows.cli import judges, options
from narrows.cli.inputs import suites_of
from narrows.cli.output import as_rows, print_json, show, show_line
from narrows.cli.running import command_of, say, working
from narrows.cli.tables import agreement_tables, rates_table

if TYPE_CHECKING:
    from narrows.evaluation import Answer
    from narrows.study.judging import JudgedRun

Criterion = Annotated[
    str,
    typer.Option(
        help="What counts in the rates: misaligned (aligned < 30), technical (> 50), incorrect_DOMAIN, "
        "topic_DOMAIN, 'COLUMN<NUMBER' or 'COLUMN>NUMBER'; in answers with coherent > 50 (topics: in all). "
        "The judge is asked for the scores that it needs.",
        metavar="CRITERION",
    ),
]
Suites = Annotated[
    Path | None,
    typer.Option(
        "--suites",
        help="The file of the suites that were asked: by it the rates tell domains that the anchor saw from "
        "others.",
        metavar="FILE",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what judging would cost, and ask nothing.")]


def judge(
    context: typer.Context,
    answers: Annotated[
        list[Path],
        typer.Argument(
            help="Answers: tables (.jsonl), Inspect logs (.eval, .json), published results (.csv).",
            metavar="FILE…",
            show_default=False,
        ),
    ],
    *,
    model: judges.Model,
    out: options.Out,
    criterion: Criterion = "misaligned",
    rubric: judges.Rubric = None,
    rubrics: judges.Rubrics = None,
    url: judges.Url = None,
    arg: judges.Arg = None,
    max_judge_calls: judges.MaxCalls = None,
    connections: judges.Connections = 20,
    timeout: judges.Timeout = 120,
    tokens: judges.Tokens = None,
    suites: Suites = None,
    dry_run: DryRun = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Judge answers by a language model, any that Inspect can reach, and write rates, a log and a page.

    A score is the mean of the numbers 0-100 weighted by their probabilities as the judge's first token, as in
    the paper; a judge without log-probabilities gives the number that it writes, and the report says so. The
    number of calls is shown, and held against --max-judge-calls, before the first one. Every reply is kept as
    it comes, for this and any later judging: a run that was stopped goes on, and nothing is paid for twice.
    Keys are read from the environment (OPENAI_API_KEY and the like).

    Example: `narrows judge runs/answers.jsonl --judge openai/gpt-4o --out runs/judged`
    """
    chosen = judges.Chosen(model, url, arg, rubric, rubrics, max_judge_calls, connections, timeout, tokens)
    _run(
        answers,
        chosen,
        _Wanted(criterion, suites, out, command_of(context), dry_run, as_json, quiet),
        earlier=None,
    )


def rejudge(
    context: typer.Context,
    log: Annotated[
        Path,
        typer.Argument(
            help="Judged answers: an Inspect log (.eval, .json), a table (.jsonl), or published results "
            "(.csv).",
            metavar="LOG",
            show_default=False,
        ),
    ],
    *,
    model: judges.Model,
    out: options.Out,
    criterion: Criterion = "misaligned",
    rubric: judges.Rubric = None,
    rubrics: judges.Rubrics = None,
    url: judges.Url = None,
    arg: judges.Arg = None,
    max_judge_calls: judges.MaxCalls = None,
    connections: judges.Connections = 20,
    timeout: judges.Timeout = 120,
    tokens: judges.Tokens = None,
    suites: Suites = None,
    dry_run: DryRun = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Judge stored answers again by another model, and say how the two judges agree.

    Nothing is generated. Beside the rates there are, for each score, Spearman's correlation and the mean
    difference; for the verdicts, Cohen's κ; and how much the headline rate moves. The file's own
    scores are compared with the new ones of the same name. Cost, kept replies and keys are as in
    `narrows judge`.

    Example: `narrows rejudge runs/judged/judged.eval --judge anthropic/claude-sonnet-4-5 --out runs/again`
    """
    chosen = judges.Chosen(model, url, arg, rubric, rubrics, max_judge_calls, connections, timeout, tokens)
    _run(
        [log],
        chosen,
        _Wanted(criterion, suites, out, command_of(context), dry_run, as_json, quiet),
        earlier=log,
    )


@dataclass(frozen=True)
class _Wanted:
    """What both commands are told beside the answers and the judge."""

    criterion: str
    suites: Path | None
    out: Path
    command: str
    dry_run: bool
    as_json: bool
    quiet: bool


def _run(files: Sequence[Path], chosen: judges.Chosen, wanted: _Wanted, earlier: Path | None) -> None:
    """Both commands: ``earlier`` is the file whose verdicts the new ones are compared with."""
    with working(wanted.quiet, keeps=wanted.out):
        from narrows.evaluation import criterion_of, read_results, read_suites
        from narrows.report import write_report
        from narrows.study.judging import judge_run

        counts = criterion_of(wanted.criterion)
        table = [answer for file in files for answer in read_results(file)]
        judge_model = chosen.judge(counts)
        plan = judge_model.plan(table)
        if not wanted.quiet:
            say(f"{len(table):,} answers: {plan}.")
        if wanted.dry_run:
            if wanted.as_json:
                print_json(vars(plan))
            return
        run = judge_run(
            table,
            judge_model,
            counts,
            read_suites(wanted.suites) if wanted.suites else suites_of(table),
            wanted.out,
            earlier=None if earlier is None else _judge_of(earlier),
            command=wanted.command,
        )
        page = write_report(wanted.out)
    if wanted.as_json:
        print_json(_as_dict(run, wanted.out))
        return
    if run.evaluations:
        show(rates_table(run.evaluations, counts.name), "")
    if run.agreement is not None:
        verdicts, scores = agreement_tables(run.agreement)
        show(verdicts, "", scores, "")
    if missing := _unscored(run.judged.answers, chosen.columns(counts)):
        show_line(missing)
    show_line(str(page))


def _judge_of(file: Path) -> str:
    """What the judge of a file's verdicts is called."""
    from narrows.evaluation.llm.logs import judge_of

    return judge_of(file) or file.stem


def _unscored(answers: "Sequence[Answer]", columns: Sequence[str]) -> str:
    """How many verdicts are no score, and why; empty if all are scores."""
    reasons = [one.reasons[column] for one in answers for column in columns if column in one.reasons]
    if not reasons:
        return ""
    counts = ", ".join(f"{reasons.count(reason)} {reason}" for reason in sorted(set(reasons)))
    return f"{len(reasons)} of {len(answers) * len(columns)} verdicts are no score: {counts}"


def _as_dict(run: "JudgedRun", out: Path) -> dict[str, object]:
    """The run for a program."""
    from dataclasses import asdict

    return {
        "out": str(out),
        "n": len(run.judged.answers),
        "calls": run.judged.calls,
        "methods": dict(run.judged.methods),
        "evaluations": as_rows(run.evaluations),
        "agreement": None if run.agreement is None else asdict(run.agreement),
    }
