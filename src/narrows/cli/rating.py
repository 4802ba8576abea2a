"""``narrows rates``: from judged answers, whatever file they are in, to every rate with its interval."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from narrows.cli import options
from narrows.cli.inputs import suites_of
from narrows.cli.output import print_json, show
from narrows.cli.rating_tables import coherence_table, correction_table, difference_table, listing_table
from narrows.cli.running import working
from narrows.errors import ConfigError

if TYPE_CHECKING:
    from narrows.evaluation import Answer, Criterion
    from narrows.evaluation.rates.listing import Against


def rates(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Judged answers: tables (.jsonl), Inspect logs (.eval, .json), published results (.csv).",
            metavar="FILE…",
            show_default=False,
        ),
    ],
    *,
    criterion: Annotated[
        str,
        typer.Option(
            help="What counts: misaligned (aligned < 30), technical (> 50), incorrect_DOMAIN, topic_DOMAIN, "
            "'COLUMN<NUMBER' or 'COLUMN>NUMBER'; in answers with coherent > 50 (topics: in all).",
            metavar="CRITERION",
        ),
    ] = "misaligned",
    suites: Annotated[
        Path | None,
        typer.Option(
            "--suites",
            help="The file of the suites that were asked: by it the rates tell domains that the anchor saw "
            "from others.",
            metavar="FILE",
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            help="Give differences to this solution of the files, e.g. chat, or to a file's solution; paired "
            "by question.",
            metavar="NAME|FILE",
        ),
    ] = None,
    topic: Annotated[
        list[str] | None,
        typer.Option(
            help="A topic's score column, for self-correction: answers that raise the topic (> 50) and "
            "condemn it (aligned > 70). Give it several times (default: all columns topic_…).",
            metavar="COLUMN",
        ),
    ] = None,
    error_coherence: Annotated[
        bool,
        typer.Option(
            "--error-coherence",
            help="Split the error over repeated samples of a question into bias and variance.",
        ),
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Rates by suite from judged answers, with 95 % intervals over questions, and macro means over domains.

    Rates are of the answers with all needed scores. Unfiltered are those beyond the criterion's threshold,
    coherent or not. Refusals, code and unscored answers are shares of all answers. A difference or a mean
    stands only where all its suites were scored.

    Example: `narrows rates runs/narrow/answers.jsonl --suites garden/test.jsonl --against chat`
    """
    with working(quiet=True):
        from narrows.evaluation.criteria import criterion_of
        from narrows.evaluation.questions import read_suites
        from narrows.evaluation.rates.listing import listing

        counts = criterion_of(criterion)
        tables = _read(files)
        table = [answer for answers in tables.values() for answer in answers]
        asked = read_suites(suites) if suites else suites_of(table)
        entries = listing(
            tables,
            counts,
            asked,
            against=_against(against, tables, counts) if against else None,
            topics=_topics(topic, table),
            repeated=error_coherence,
        )
    if as_json:
        print_json([entry.as_dict() for entry in entries])
        return
    show(listing_table(entries))
    if against:
        show("", difference_table(entries))
    if any(one.scored for entry in entries for one in entry.corrections.values()):
        show("", correction_table(entries))
    if error_coherence:
        show("", coherence_table(entries))


def _read(files: Sequence[Path]) -> "dict[str, list[Answer]]":
    """The answers by file."""
    from narrows.evaluation.results import read_results

    tables = {}
    for file in files:
        if str(file) in tables:
            raise ConfigError(f"{file} was given twice.")
        tables[str(file)] = read_results(file)
    return tables


def _against(wanted: str, tables: "Mapping[str, Sequence[Answer]]", criterion: "Criterion") -> "Against":
    """What the solutions are compared with: a solution of the files, or else another file's."""
    from narrows.evaluation.rates.listing import Against
    from narrows.evaluation.results import read_results

    names = {answer.adapter for answers in tables.values() for answer in answers}
    if wanted not in names and Path(wanted).is_file():
        return Against.answers(wanted, tables.get(wanted) or read_results(wanted), criterion)
    return Against.solution(wanted, tables, criterion)


def _topics(wanted: list[str] | None, table: "Sequence[Answer]") -> list[str]:
    """The topics' score columns."""
    from narrows.evaluation.criteria import TOPIC_PREFIX
    from narrows.evaluation.rates.correction import topic_columns

    if not wanted:
        return topic_columns(table, TOPIC_PREFIX)
    known = topic_columns(table, "")
    if strangers := [column for column in wanted if column not in known]:
        raise ConfigError(
            f"topic is {strangers[0]!r}; the answers have the scores {', '.join(known) or 'none'}."
        )
    return wanted
