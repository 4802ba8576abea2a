"""JSONL tables with one dataclass a row, read strictly."""

import dataclasses
import json
from collections.abc import Hashable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from narrows.errors import DataError
from narrows.files import read_user_text
from narrows.strict import one_line, parse_json

Row = TypeVar("Row")


def read_table(path: Path | str, row_type: type[Row], example: Row) -> Iterator[Row]:
    """Read one ``row_type`` a line; blank lines are skipped.

    Args:
        path: the JSONL file, UTF-8.
        row_type: a dataclass; its fields are the row's names, those with a default may be missing.
        example: a right row, for the error messages.

    Raises:
        DataError: the file is missing, empty or not UTF-8, its last line was cut short, or a row is no JSON
            object, lacks a field, or has one of another kind; the message names the file and the line.
    """
    path = Path(path)
    right = f"A right row: {json.dumps(dataclasses.asdict(example), ensure_ascii=False)}"  # type: ignore[call-overload]
    text = read_user_text(path)
    if not text.strip():
        raise DataError(f"{path} is empty: it has no rows. {right}")
    lines = text.split("\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            value = parse_json(line)
        except ValueError as error:
            if number == len(lines):  # a whole file ends with a newline, so that its last line is blank
                raise DataError(
                    f"{path}, line {number}: the last line is cut short, so the file is not whole. "
                    f"Make it again, or delete that line to keep the {number - 1} before it."
                ) from error
            raise DataError(f"{path}, line {number}: is not JSON ({one_line(error)}). {right}") from error
        yield _row(line, value, row_type, f"{path}, line {number}: ", right)


def _row(line: str, value: object, row_type: type[Row], where: str, right: str) -> Row:
    """One checked row."""
    if not isinstance(value, dict):
        raise DataError(f"{where}is {type(value).__name__} where an object was expected. {right}")
    known = {field.name for field in dataclasses.fields(row_type)}  # type: ignore[arg-type]
    if strangers := sorted(value.keys() - known):
        raise DataError(f"{where}has a field {one_line(repr(strangers[0]))} that is not known. {right}")
    try:
        row: Row = _validator(cast(Hashable, row_type)).validate_json(line, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = one_line(repr(".".join(str(part) for part in first["loc"])))
        raise DataError(f"{where}{name}: {one_line(first['msg'])}. {right}") from error
    return row


@cache
def _validator(row_type: Hashable) -> TypeAdapter[Any]:
    return TypeAdapter(cast(Any, row_type))
