"""Judged answers from whatever file holds them: our table, an Inspect log, or the published results' CSV."""

import csv
import io
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from narrows.errors import DataError
from narrows.evaluation.answers import Answer, read_answers
from narrows.evaluation.criteria import COHERENT
from narrows.evaluation.judging import Unscored, Verdict, with_verdicts
from narrows.evaluation.questions import OPEN
from narrows.files import read_user_text
from narrows.strict import one_line

LOGS = (".eval", ".json")
TABLE = ".csv"

TEXTS = ("response", "question", "question_id")
SCORES = ("aligned", COHERENT)

MISSING = {
    "": Unscored.NONE,
    "nan": Unscored.NONE,
    "none": Unscored.NONE,
    "null": Unscored.NONE,
    "n/a": Unscored.NONE,
    "na": Unscored.NONE,
    "refusal": Unscored.REFUSAL,
    "code": Unscored.CODE,
}
"""What stands in a cell that has no score, in lower case, and why there is none."""

OWN = ("model", "adapter", "solution", "scale", "suite")
"""Columns that would tell several solutions or suites apart, which a CSV cannot hold."""

COUNTED = ("sample", "seed")
"""Columns of numbers that are no scores."""

LONGEST_CELL = 2**24
"""Characters of one cell; an answer of 600 tokens has some 3,000."""


def read_results(path: Path | str) -> list[Answer]:
    """Judged answers from a file, whichever kind it is.

    - an answers table of ours, JSONL, each answer once;
    - an Inspect log, ``.eval`` or ``.json``;
    - a CSV as the published results have it, ``.csv``: columns ``response``, ``question``, ``question_id``,
      ``aligned``, ``coherent``, and any further ones with scores. Rows of one question are its samples, in
      order. The solution is called by the file's name, the suite ``open``, and the chat model has no name,
      unless a column ``suite`` or ``model`` says otherwise; the scale is 1. Unnamed columns (an index) and
      columns of text are left out.

    A cell without a score may be empty or hold NaN, None, REFUSAL or CODE; the last two become the reason.

    Raises:
        DataError: the file is missing, is not UTF-8, or something in it is not as it should be; names the
            file, the row, the column and the value.
    """
    path = Path(path)
    if path.suffix.lower() == TABLE:
        return _read_csv(path)
    if path.suffix.lower() in LOGS:
        from narrows.evaluation.llm.logs import read_log

        return read_log(path)
    return _table(path)


def _table(path: Path) -> list[Answer]:
    """The answers in our own table, each once and with scores on their scale."""
    answers = read_answers(path)
    seen: set[tuple[object, ...]] = set()
    for number, one in enumerate(answers, start=1):
        for name, score in one.scores.items():
            if score is not None and not 0 <= score <= 100:
                raise DataError(
                    f"{path}, row {number}: {one_line(repr(name))} is {score:g}. A score is from 0 to 100."
                )
        key = (one.model, one.adapter, one.scale, one.suite, one.question_id, one.sample)
        if key in seen:
            raise DataError(
                f"{path}, row {number}: sample {one.sample} of question {one_line(repr(one.question_id))} "
                f"({one_line(one.adapter)}, scale {one.scale:g}, suite {one_line(one.suite)}) stands twice, "
                "and would count twice. Delete one of the rows."
            )
        seen.add(key)
    return answers


def _read_csv(path: Path) -> list[Answer]:
    """The answers in a CSV of the published results."""
    lines = list(_lines(path))
    if not lines:
        raise DataError(f"{path} is empty: it has no header. {_right()}")
    header, rows = lines[0], lines[1:]
    _check_header(path, header)
    if not rows:
        raise DataError(f"{path} has a header and no rows.")
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise DataError(
                f"{path}, row {number}: has {len(row)} cells where the header has {len(header)}. A text with "
                "a comma or a line break needs quotation marks around it."
            )
    columns = {name: [row[place] for row in rows] for place, name in enumerate(header)}
    for name in OWN:
        _check_same(path, name, columns.get(name, []))
    scores = {
        name: verdicts
        for name, cells in columns.items()
        if name not in (*TEXTS, *OWN, *COUNTED) and not _unnamed(name)
        if (verdicts := _verdicts(path, name, cells)) is not None
    }
    seen: Counter[str] = Counter()
    answers = []
    for place, (text, question, identity) in enumerate(zip(*(columns[name] for name in TEXTS), strict=True)):
        if not identity.strip():
            raise DataError(f"{path}, row {place + 1}: question_id is empty; each row needs its question's.")
        answer = Answer(
            model=columns.get("model", [""])[0],
            adapter=path.stem,
            scale=1.0,
            suite=columns.get("suite", [""])[0] or OPEN,
            question_id=identity,
            cluster=identity,
            question=question,
            sample=seen[identity],
            text=text,
            seed=0,
        )
        seen[identity] += 1
        answers.append(with_verdicts(answer, {name: found[place] for name, found in scores.items()}))
    return answers


def _lines(path: Path) -> Iterator[list[str]]:
    """The file's rows as cells, blank lines left out."""
    before = csv.field_size_limit(LONGEST_CELL)
    try:
        reader = csv.reader(io.StringIO(read_user_text(path), newline=""), strict=True)
        while True:
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise DataError(f"{path}, line {reader.line_num}: is not CSV ({one_line(error)}).") from error
            if row:
                yield row
    finally:
        csv.field_size_limit(before)


def _check_header(path: Path, header: Sequence[str]) -> None:
    """Refuse a header that lacks a column or has one twice."""
    if missing := [name for name in (*TEXTS, *SCORES) if name not in header]:
        raise DataError(
            f"{path}: the header has no column {missing[0]!r}; it has {one_line(', '.join(header))}. "
            f"{_right()}"
        )
    for name, count in Counter(header).items():
        if count > 1 and not _unnamed(name):
            raise DataError(f"{path}: the header has the column {one_line(repr(name))} {count} times.")


def _check_same(path: Path, name: str, cells: Sequence[str]) -> None:
    """Refuse rows of several solutions or suites: their rates would be mixed."""
    for number, cell in enumerate(cells, start=1):
        if cell != cells[0]:
            raise DataError(
                f"{path}, row {number}: {name} is {one_line(repr(cell))} and in row 1 "
                f"{one_line(repr(cells[0]))}. A CSV holds the answers of one solution to one suite: split it."
            )


def _verdicts(path: Path, name: str, cells: Sequence[str]) -> list[Verdict] | None:
    """A column's scores, or None for a column of text.

    A further column is text if some cells are words and none is a number; if both occur, it is not clear what
    it is.
    """
    found = [_verdict(cell) for cell in cells]
    if name not in SCORES and None in found and not any(isinstance(one, float) for one in found):
        return None
    for number, (cell, one) in enumerate(zip(cells, found, strict=True), start=1):
        if one is None or (isinstance(one, float) and not 0 <= one <= 100):
            raise DataError(
                f"{path}, row {number}: {one_line(repr(name))} is {one_line(repr(cell))}. A score is a "
                "number from 0 to 100; without one the cell is empty or says NaN, None, REFUSAL or CODE."
                + ("" if name in SCORES else " Delete the column if it holds no scores.")
            )
    return list(found)


def _verdict(cell: str) -> float | Unscored | None:
    """A cell's score, or why it has none; None for what is neither."""
    word = cell.strip().lower()
    if word in MISSING:
        return MISSING[word]
    try:
        number = float(word)
    except ValueError:
        return None
    return number if math.isfinite(number) and "_" not in word else None


def _unnamed(name: str) -> bool:
    """Whether a column is an index that pandas wrote."""
    return not name.strip() or name.startswith("Unnamed:")


def _right() -> str:
    return f"A right header: {','.join((*TEXTS, *SCORES))}"
