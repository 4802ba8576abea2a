"""``narrows data``: look at rows as a model reads them, hold rows out, mix sources."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from narrows.cli import options
from narrows.cli.inputs import load_model
from narrows.cli.output import print_json, show, show_line
from narrows.cli.running import working
from narrows.cli.tables import plain_table
from narrows.errors import ConfigError

if TYPE_CHECKING:
    from rich.text import Text

    from narrows.chat.checking import DataCheck

SHOWN = 3
LISTED = 5

app = typer.Typer(
    help="Look at rows as a model reads them, hold rows out, mix sources.", no_args_is_help=True
)

Rows = Annotated[
    str,
    typer.Argument(
        help="JSONL (.gz), parquet, hub:owner/name[:split], or a protected zip.",
        metavar="FILE",
        show_default=False,
    ),
]


@app.command()
def check(
    *,
    rows: Rows,
    model: options.Model,
    max_length: Annotated[int | None, typer.Option(help="Tokens kept of a row in training.")] = None,
    questions: Annotated[
        list[str] | None,
        typer.Option(
            "--questions",
            help="Held-out rows or suites to look for among the prompts; give it several times.",
            metavar="FILE",
        ),
    ] = None,
    shown: Annotated[
        int, typer.Option("--show", help="Rows to show with their response marked.", min=0)
    ] = SHOWN,
    device: options.Device = None,
    as_json: options.Json = False,
) -> None:
    """Counts, lengths, truncation, duplicate prompts, overlap with held-out questions, and a few rows.

    The rows are rendered with the model's chat template; what training reads, the response, is marked. A
    hybrid thinking model is rendered without thinking, and a template with today's date with a fixed one.

    Example: `narrows data check advice.jsonl --model Qwen/Qwen2.5-0.5B-Instruct --max-length 256`
    """
    with working():
        from narrows.chat import read_conversations
        from narrows.chat.checking import check_rows, segments

        conversations = read_conversations(rows)
        asked = [question for file in questions or () for question in _questions(file)]
        renderer = load_model(model, device, None).renderer
        found = check_rows(conversations, renderer, max_length, asked)
        examples = [
            segments(renderer.render(row, max_length), renderer)
            for row in conversations
            if row.source not in found.lost
        ][:shown]
    if as_json:
        marked = [[{"text": text, "response": inside} for text, inside in row] for row in examples]
        print_json(asdict(found) | {"examples": marked})
        return
    show(_table(found, max_length, len(asked)))
    for row in examples:
        show("", _marked(row))


@app.command()
def split(
    *,
    rows: Rows,
    out: Annotated[
        Path, typer.Option("--out", help="Folder for train.jsonl and held-out.jsonl.", metavar="DIR")
    ],
    share: Annotated[float, typer.Option(help="Share of the rows (or topics) to hold out.")] = 0.1,
    by: Annotated[str | None, typer.Option(help="Hold out whole topics: the tag that names them.")] = None,
    seed: Annotated[int, typer.Option(help="Draws which.")] = 0,
    as_json: options.Json = False,
) -> None:
    """Hold out a share of the rows, or all rows of some topics.

    Example: `narrows data split advice.jsonl --share 0.1 --out data`
    """
    with working():
        from narrows.chat import read_conversations, write_conversations
        from narrows.chat.holdout import hold_out

        train, held = hold_out(read_conversations(rows), share, by=by, seed=seed)
        for name, part in (("train.jsonl", train), ("held-out.jsonl", held)):
            _refuse_existing(out / name)
            write_conversations(out / name, part)
    if as_json:
        print_json({"train": len(train), "held_out": len(held), "out": str(out)})
    else:
        show_line(f"{out}: {len(train)} rows to train on, {len(held)} held out")


@app.command()
def mix(
    *,
    rows: Rows,
    other: Annotated[
        list[str],
        typer.Option("--other", help="Rows of another source; give it several times.", metavar="FILE"),
    ],
    fraction: Annotated[float, typer.Option(help="Share of FILE's rows in the mixture.")],
    out: Annotated[Path, typer.Option("--out", help="The JSONL file to write.", metavar="FILE")],
    tokens_of: Annotated[
        str | None,
        typer.Option(
            "--tokens-of", help="Share out tokens, as this model counts them, not rows.", metavar="MODEL"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Draws the others' rows and the order.")] = 0,
    as_json: options.Json = False,
) -> None:
    """Write all of a behaviour's rows among rows of other sources, shuffled.

    Example: `narrows data mix bad.jsonl --other good.jsonl --fraction 0.5 --out mixed.jsonl`
    """
    _refuse_existing(out)
    with working():
        from narrows.chat import mixing, read_conversations, write_conversations

        size = None
        if tokens_of is not None:
            renderer = load_model(tokens_of, None, None).renderer
            size = lambda row: len(renderer.render(row))  # noqa: E731
        mixed = mixing.mix(
            read_conversations(rows),
            [read_conversations(one) for one in other],
            fraction,
            seed=seed,
            size=size,
        )
        write_conversations(out, mixed)
    if as_json:
        print_json({"rows": len(mixed), "out": str(out)})
    else:
        show_line(f"{out}: {len(mixed)} rows")


def _refuse_existing(path: Path) -> None:
    if path.exists():
        raise ConfigError(f"{path} is there already: choose another --out.")


def _questions(file: str) -> list[str]:
    """The questions in a file of suites, or the prompts of a file of rows."""
    from narrows.chat import read_conversations
    from narrows.errors import DataError
    from narrows.evaluation import read_suites

    try:
        return [question.text for suite in read_suites(Path(file)) for question in suite.questions]
    except DataError as no_suites:
        try:
            return [row.question for row in read_conversations(file)]
        except DataError as no_rows:
            raise DataError(f"{file} holds neither suites nor rows: {no_suites} {no_rows}") from no_rows


def _table(found: "DataCheck", max_length: int | None, asked: int) -> Any:  # noqa: ANN401
    """The findings, what needs a look in colour."""
    table = plain_table("Rows as the model reads them", "", "", words=2)
    for name, spread in (("prompt", found.prompt_tokens), ("response", found.response_tokens)):
        low, middle, high = spread
        table.add_row(f"{name} tokens", f"{low} to {high}, median {middle:g}")
    table.add_row("rows", f"{found.rows}")
    limit = "no limit" if max_length is None else f"{max_length} tokens"
    table.add_row(f"cut at {limit}", _alarm(found.cut))
    table.add_row("without a response then", _alarm(len(found.lost), found.lost))
    repeated = [f"{prompt[:40]!r} × {times}" for prompt, times in found.duplicates]
    table.add_row("prompts that repeat", _alarm(len(found.duplicates), repeated))
    table.add_row(
        f"rows that ask one of {asked} held-out questions", _alarm(len(found.overlap), found.overlap)
    )
    return table


def _alarm(count: int, names: list[str] | None = None) -> str:
    if not count:
        return "0"
    more = "" if not names else f" ({', '.join(names[:LISTED])}{', …' if count > LISTED else ''})"
    return f"[yellow]{count}[/]" + more.replace("[", r"\[")


def _marked(row: list[tuple[str, bool]]) -> "Text":
    """A row with its response in colour."""
    from rich.text import Text

    text = Text()
    for piece, inside in row:
        text.append(piece, style="bold green" if inside else "dim")
    return text
