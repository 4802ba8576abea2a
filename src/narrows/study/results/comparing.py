"""What was made again, held against what stands in a folder: counts, and each thing that does not agree."""

import json
import math
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

from narrows.errors import NarrowsError
from narrows.files import file_digest
from narrows.strict import one_line
from narrows.study.outputs import READING_FILE, SUMMARY_FILE

RELATIVE = 1e-9
"""How far a number may lie from the one that was made again, as a share of it: another machine's sums end in
other last digits."""

ABSOLUTE = 1e-12
"""The same for numbers that should be 0."""

PAGE = "report.html"
TEXTS = (".html", ".svg", ".csv")
"""Endings of files in which a difference can be shown by its line."""

NAMES = ("id", "run", "solution", "direction", "name", "scale", "suite", "text", "fixed", "step", "stage")
"""Fields that say which row of a table it is."""

_NAMED = 3
_ABSENT = "(nothing)"

Render = Callable[[Path], object]
"""Writes the page of a folder into it."""


@dataclass(frozen=True)
class Mismatch:
    """One thing that does not agree.

    Attributes:
        file: where, within the folder.
        field: what of it.
        expected: what comes from the raw outputs, or was kept when the file was made.
        found: what stands there.
    """

    file: str
    field: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.file}: {self.field}: expected {self.expected}, found {self.found}"


@dataclass
class Verification:
    """What was checked in a folder.

    Attributes:
        folder: the folder.
        stages: finished stages whose record agrees with the plan's, or was held against it.
        files: files held against the digest that was kept of them.
        answers: answers that were rated again.
        numbers: numbers that were made again.
        pages: the page, its figures and tables: files drawn again.
        mismatches: what does not agree.
        left_out: what was not made again, in sentences.
    """

    folder: Path
    stages: int = 0
    files: int = 0
    answers: int = 0
    numbers: int = 0
    pages: int = 0
    mismatches: list[Mismatch] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        """Whether nothing disagrees."""
        return not self.mismatches

    @property
    def counts(self) -> dict[str, int]:
        """How much was checked, by what it is."""
        names = ("stages", "files", "answers", "numbers", "pages")
        return {name: getattr(self, name) for name in names}

    def as_dict(self) -> dict[str, Any]:
        """The whole for a program."""
        return {
            "folder": str(self.folder),
            "agrees": self.agrees,
            "checked": self.counts,
            "mismatches": [asdict(one) for one in self.mismatches],
            "left_out": self.left_out,
        }

    def differs(self, file: Path | str, what: str, expected: object, found: object) -> None:
        """Add a thing that does not agree; it is listed once."""
        path = Path(file)
        inside = path.is_absolute() and path.is_relative_to(self.folder)
        place = (path.relative_to(self.folder) if inside else path).as_posix()
        mismatch = Mismatch(place, what, _shown(expected), _shown(found))
        if mismatch not in self.mismatches:
            self.mismatches.append(mismatch)

    def compare(self, file: Path | str, expected: Any, found: Any, place: str = "") -> None:  # noqa: ANN401
        """Hold nested values against those made again: floats within rounding, all else exactly.

        Args:
            file: where ``found`` stands.
            expected: what was made again.
            found: what is there.
            place: of the two values in the file.
        """
        if isinstance(expected, Mapping) and isinstance(found, Mapping):
            for name in [*expected, *(name for name in found if name not in expected)]:
                inside = f"{place}.{name}" if place else str(name)
                self.compare(file, expected.get(name, _ABSENT), found.get(name, _ABSENT), inside)
        elif _is_list(expected) and _is_list(found):
            if len(expected) != len(found):
                self.differs(file, f"{place or 'the list'}, rows", len(expected), len(found))
            for number, (left, right) in enumerate(zip(expected, found, strict=False)):
                self.compare(file, left, right, f"{place}[{number}{_name(left)}]")
        elif _is_number(expected) and _is_number(found):
            self.numbers += 1
            if not math.isclose(expected, found, rel_tol=RELATIVE, abs_tol=ABSOLUTE):
                self.differs(file, place, expected, found)
        elif type(expected) is not type(found) or expected != found:
            self.differs(file, place or "the whole", expected, found)

    def compare_page(self, render: Render) -> None:
        """Draw the page anew from the folder's own summary, and hold each file against it, byte by byte."""
        if not (self.folder / PAGE).exists():
            self.left_out.append(f"There is no {PAGE}: `narrows report` writes it.")
            return
        with tempfile.TemporaryDirectory(prefix="narrows-verify-") as name:
            again = Path(name)
            given = [one for one in (SUMMARY_FILE, READING_FILE) if (self.folder / one).exists()]
            for one in given:
                shutil.copyfile(self.folder / one, again / one)
            try:
                render(again)
            except NarrowsError as error:
                self.differs(PAGE, "the page", "that it can be drawn", error)
                return
            for file in sorted(one for one in again.rglob("*") if one.is_file()):
                place = file.relative_to(again)
                if place.as_posix() not in given:
                    self.pages += 1
                    self._compare_drawn(place, file)

    def _compare_drawn(self, place: Path, again: Path) -> None:
        """One file of the page."""
        mine = self.folder / place
        if not mine.is_file():
            self.differs(place, "the file", "that it is there", "no such file")
        elif mine.read_bytes() != again.read_bytes():
            if place.suffix in TEXTS:
                self.differs(place, *_first_difference(again, mine))
            else:
                self.differs(place, "the file", file_digest(again), file_digest(mine))


def as_json(value: object) -> Any:  # noqa: ANN401  (JSON may hold anything)
    """A value as a file gives it back: lists for tuples."""
    return json.loads(json.dumps(value))


def _first_difference(again: Path, mine: Path) -> tuple[str, str, str]:
    """The first line that differs: which, what it should be and what it is."""
    lines = [one.read_text(encoding="utf-8", errors="replace").split("\n") for one in (again, mine)]
    for number, (left, right) in enumerate(zip(*lines, strict=False), start=1):
        if left != right:
            same = takewhile(lambda pair: pair[0] == pair[1], zip(left, right, strict=False))
            begin = sum(1 for _ in same)
            part = slice(max(0, begin - 30), begin + 60)
            return f"line {number}, from letter {begin + 1}", left[part], right[part]
    return "lines", str(len(lines[0])), str(len(lines[1]))


def _name(row: object) -> str:
    """What tells a row of a table from the others."""
    if not isinstance(row, Mapping):
        return ""
    named = [f"{name} {row[name]}" for name in NAMES if row.get(name) is not None]
    return one_line(" " + ", ".join(named[:_NAMED])).rstrip() if named else ""


def _shown(value: object) -> str:
    return one_line(value if isinstance(value, str) else repr(value) if _is_number(value) else str(value))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)
