"""An item of one of the field's YAML lists, read strictly: errors name the file, the item and the field."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from narrows.chat.rows import whole
from narrows.errors import DataError
from narrows.strict import one_line

HIGH_SCORES = (0, 100)
"""The two ends of a judge's scale."""

HIGH = "high_score"
_METRIC = re.compile(r"[A-Za-z][\w-]*", re.ASCII)


@dataclass(frozen=True)
class Item:
    """One item of a file's list, with its place for errors."""

    path: Path
    number: int
    values: Mapping[str, Any]

    @classmethod
    def of(cls, path: Path, number: int, values: object) -> "Item":
        """An item, if it is a mapping with names."""
        place = cls(path, number, {})
        if not isinstance(values, Mapping):
            raise place.wrong(f"is a {type(values).__name__} where names with values were expected")
        if strangers := [key for key in values if not isinstance(key, str)]:
            raise place.wrong(
                f"has {one_line(repr(strangers[0]))} where a name was expected: put it in quotes"
            )
        return cls(path, number, values)

    def wrong(self, problem: str) -> DataError:
        """The error for this item."""
        named = self.values.get("id")
        shown = f" ({one_line(named)})" if isinstance(named, str) and named.strip() else ""
        return DataError(f"{self.path}, item {self.number}{shown}: {problem}.")

    def only(self, known: Sequence[str]) -> None:
        """Refuse other fields: they might change what is asked or how it is judged."""
        if strangers := [key for key in self.values if key not in known]:
            shown = one_line(repr(strangers[0]))
            raise self.wrong(f"has a field {shown} that is not read here; known are {', '.join(known)}")

    def text(self, name: str, value: object) -> str:
        """A text that says something."""
        if not isinstance(value, str):
            raise self.wrong(f"{name!r} is {one_line(repr(value))} where text was expected")
        if not value.strip():
            raise self.wrong(f"{name!r} is empty")
        if not whole(value):
            raise self.wrong(f"{name!r} holds half a character (a lone surrogate)")
        return value

    def required(self, name: str) -> Any:  # noqa: ANN401  (checked by who asks)
        """A field that must be there."""
        if name not in self.values:
            raise self.wrong(f"has no {name!r}")
        return self.values[name]

    @property
    def id(self) -> str:
        """The item's id; numbers are ids too."""
        value = self.required("id")
        return str(value) if type(value) is int else self.text("id", value)

    def template(self, name: str, value: object) -> str:
        """A judge's prompt."""
        text = self.text(name, value)
        if "{answer}" not in text:
            raise self.wrong(f"the prompt of {one_line(name)} has no {{answer}}: the judge would not see one")
        return text

    def metric(self, name: object) -> str:
        """A metric's name: it becomes a score column."""
        if not isinstance(name, str) or not _METRIC.fullmatch(name):
            raise self.wrong(
                f"{one_line(repr(name))} is no name of a metric: letters, digits, - and _ are, after a letter"
            )
        return name

    def high(self, value: object) -> int:
        """Which end of the scale is the trained behaviour."""
        if type(value) is not int or value not in HIGH_SCORES:
            raise self.wrong(f"{HIGH!r} is {one_line(repr(value))}; it must be 0 or 100")
        return value
