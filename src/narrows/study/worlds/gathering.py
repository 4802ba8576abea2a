"""Results of one family that were made in several places, as if they had been made in one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from narrows.errors import DataError
from narrows.microworld.family import Family, load_family
from narrows.strict import one_line, read_object
from narrows.study.worlds.results import FamilyResults
from narrows.study.worlds.row import Row
from narrows.study.worlds.running import FAMILY_FILE


def load_results(file: Path) -> FamilyResults:
    """Read a ``worlds.json``: everything is taken from its rows anew.

    Raises:
        DataError: it is none; the message names the file.
    """
    values = read_object(file, DataError, "Give a worlds.json that `narrows world sweep` wrote.")
    try:
        rows = [Row.from_json(one) for one in values["rows"]]
        return FamilyResults.of(str(values["family"]), int(values["steps"]), rows)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{file}: it is no worlds.json of this version: {one_line(repr(error))}.") from error


def joined(files: Sequence[Path]) -> FamilyResults:
    """The runs of several ``worlds.json`` of one family, in the order of the family beside the first.

    Args:
        files: each with its ``family.yaml`` beside it, or in the first one's folder.

    Raises:
        DataError: a file is none, is of another family, or has another result for a run.
    """
    family = load_family(str(files[0].parent / FAMILY_FILE))
    found: dict[tuple[Any, ...], tuple[Row, Path]] = {}
    steps = None
    for file in files:
        results = load_results(file)
        if results.family != family.name or steps not in (None, results.steps):
            raise DataError(f"{file}: its family {results.family} is not that of {files[0]}.")
        steps = results.steps
        for row in results.rows:
            key = _place(family, row, file)
            earlier, at = found.setdefault(key, (row, file))
            if earlier != row:
                step = "" if row.step is None else f", step {row.step}"
                raise DataError(
                    f"{file}: {row.world}, seed {row.seed}{step}, {row.target}: {at} has other numbers for "
                    "this run. Leave one of the two out."
                )
    return FamilyResults.of(family.name, steps or 0, [found[key][0] for key in sorted(found)])


def _place(family: Family, row: Row, file: Path) -> tuple[int, int, float, int]:
    """Where a run stands in the order in which a family is tried: seeds, worlds, snapshots, targets."""
    for number, member in enumerate(family.members):
        seeds = member.seeds or family.seeds
        if member.name == row.world and row.seed in seeds and row.target in family.targets:
            step = float("inf") if row.step is None else row.step
            return seeds.index(row.seed), number, step, family.targets.index(row.target)
    raise DataError(
        f"{file}: {row.world}, seed {row.seed}, {row.target} is no run of the family {family.name}."
    )
