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


def joined(files: Sequence[Path]) -> FamilyResults:
    """The runs of ``worlds.json`` of one family in its order; everything else is taken from them anew.

    Args:
        files: the first has its ``family.yaml`` beside it.

    Raises:
        ConfigError: there is no family beside the first.
        DataError: a file is none, is of another family, or has another result for a run.
    """
    family = load_family(str(files[0].parent / FAMILY_FILE))
    found: dict[tuple[Any, ...], tuple[Row, Path]] = {}
    steps = 0
    for file in files:
        name, its_steps, rows = _read(file)
        if name != family.name or steps not in (0, its_steps):
            raise DataError(f"{file}: its family {name} is not that of {files[0]}.")
        steps = its_steps
        for row in rows:
            key = _place(family, row, file)
            earlier, at = found.setdefault(key, (row, file))
            if earlier != row:
                step = "" if row.step is None else f", step {row.step}"
                raise DataError(
                    f"{file}: {row.world}, seed {row.seed}{step}, {row.target}: {at} has other numbers for "
                    "this run. Leave one of the two out."
                )
    return FamilyResults.of(family.name, steps, [found[key][0] for key in sorted(found)])


def _read(file: Path) -> tuple[str, int, list[Row]]:
    """A file's family, the steps of its pre-trainings, and its runs."""
    values = read_object(file, DataError, "Give a worlds.json that `narrows world sweep` wrote.")
    try:
        rows = [Row.from_json(one) for one in values["rows"]]
        return str(values["family"]), int(values["steps"]), rows
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{file}: it is no worlds.json of this version: {one_line(repr(error))}.") from error


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
