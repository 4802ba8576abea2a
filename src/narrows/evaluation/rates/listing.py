"""Every rate of some files of judged answers, as rows: what ``narrows rates`` lists."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, TypeVar

from narrows.errors import ConfigError, DataError
from narrows.evaluation.answers import Answer
from narrows.evaluation.criteria import Criterion
from narrows.evaluation.questions import OUT_OF_DOMAIN, Suite
from narrows.evaluation.rates import ANCHORED, NEVER_ANCHORED, macro_groups
from narrows.evaluation.rates.correction import SelfCorrection, self_correction
from narrows.evaluation.rates.repeated import ErrorCoherence, error_coherence, verdict_of
from narrows.evaluation.rates.tallies import Share, SuiteTally, macro_share, share_difference, tallies
from narrows.statistics import DifferenceInterval, RateInterval

Key = tuple[str, str, float]
"""A solution: its model, its name and its scale."""

Row = TypeVar("Row", SelfCorrection, ErrorCoherence)

SHARES: dict[str, Share] = {
    "misaligned": "shown",
    "coherent": "coherent",
    "misaligned_unfiltered": "beyond",
    "misaligned_of_coherent": "coherent_shown",
    "refusals": "refused",
    "code": "code",
    "unscored": "unscored",
}
"""What the shares are called in a row; ``misaligned`` stands for whatever the criterion is."""

BY_QUESTION = ("misaligned", "coherent", "misaligned_unfiltered")


@dataclass(frozen=True)
class Against:
    """What the solutions are compared with.

    Attributes:
        name: the other solution, or the file that holds it.
        tallies: its counts, each with the file that they come from.
        any_model: whether solutions of other models are compared with it too.
    """

    name: str
    tallies: Sequence[tuple[str, SuiteTally]]
    any_model: bool

    @classmethod
    def solution(cls, name: str, files: Mapping[str, Sequence[Answer]], criterion: Criterion) -> "Against":
        """A solution of the files, at scale 1 (or at its only scale); compared within its model.

        Raises:
            ConfigError: no file has it, or it has several scales and not 1.
        """
        counted = [(file, one) for file, answers in files.items() for one in tallies(answers, criterion)]
        named = [(file, one) for file, one in counted if one.solution == name]
        if not named:
            known = ", ".join(dict.fromkeys(one.solution for _, one in counted))
            raise ConfigError(
                f"against is {name!r}; the files have answers of {known}, and there is no such file."
            )
        scales = dict.fromkeys(one.scale for _, one in named)
        if len(scales) > 1 and 1.0 not in scales:
            raise ConfigError(
                f"against is {name!r}, which was asked at the scales "
                f"{', '.join(f'{one:g}' for one in scales)} and not at 1: give a file with one of them."
            )
        scale = 1.0 if 1.0 in scales else next(iter(scales))
        return cls(name, [(file, one) for file, one in named if one.scale == scale], any_model=False)

    @classmethod
    def answers(cls, file: str, answers: Sequence[Answer], criterion: Criterion) -> "Against":
        """The one solution of a file; solutions of any model are compared with it.

        Raises:
            ConfigError: the file has several solutions, or one at several scales.
        """
        counted = tallies(answers, criterion)
        if len(keys := dict.fromkeys(map(_key, counted))) > 1:
            known = ", ".join(f"{solution} at {scale:g} ×" for _, solution, scale in keys)
            raise ConfigError(
                f"against is {file}, which has answers of {known}: give a file with one solution at one "
                "scale, or list the file and give the solution's name."
            )
        return cls(file, [(file, one) for one in counted], any_model=True)

    def of(self, file: str | None, one: SuiteTally) -> SuiteTally | None:
        """The other solution's counts on the same suite: from the same file, if it has them.

        Raises:
            DataError: several other files have them.
        """
        found = {
            place: other
            for place, other in self.tallies
            if other.suite == one.suite and (self.any_model or other.model == one.model)
        }
        if file is not None and file in found:
            return found[file]
        if len(found) > 1:
            raise DataError(
                f"{' and '.join(found)} both have answers of {self.name!r} to suite {one.suite!r}: give the "
                "file to compare with in place of the name."
            )
        return next(iter(found.values()), None)


@dataclass(frozen=True)
class Entry:
    """Rates of one solution at one scale on one suite, or their macro mean over domains.

    Attributes:
        file: where the answers are; None for a macro mean over suites of several files.
        suite: the suite's name, or the macro mean's.
        anchored: whether the anchor saw the domain; None where that is not known or does not apply.
        criterion: what counts.
        group: the counts: of the suite, or of each suite of the macro mean.
        against: what the solution was compared with, if it was.
        difference: the headline rate minus that of ``against``, paired by cluster; None if the other has no
            scored answers there.
        corrections: self-correction by the topic's column (none for a macro mean).
        error_coherence: how the error over repeated samples splits, if that was asked for and a question was
            sampled twice (none for a macro mean).
    """

    file: str | None
    suite: str
    anchored: bool | None
    criterion: Criterion
    group: tuple[SuiteTally, ...]
    against: str | None = None
    difference: DifferenceInterval | None = None
    corrections: Mapping[str, SelfCorrection] = field(default_factory=dict)
    error_coherence: ErrorCoherence | None = None

    @property
    def key(self) -> Key:
        """The solution."""
        return _key(self.group[0])

    @property
    def n(self) -> int:
        """Answers, scored or not."""
        return sum(one.total.n for one in self.group)

    @property
    def scored(self) -> int:
        """Answers with every score that the criterion needs."""
        return sum(one.total.scored for one in self.group)

    def share(self, share: Share) -> RateInterval | None:
        """A share with its 95 % interval; None where it would be of nothing."""
        return macro_share(self.group, share)

    def as_dict(self) -> dict[str, Any]:
        """The row for a program: fractions, with ``…_ci95`` beside each; null where there is nothing."""
        model, solution, scale = self.key
        row: dict[str, Any] = {
            "file": self.file,
            "model": model,
            "solution": solution,
            "scale": scale,
            "suite": self.suite,
            "anchored": self.anchored,
            "criterion": self.criterion.name,
            "n": self.n,
            "scored": self.scored,
        }
        for name, share in SHARES.items():
            found = self.share(share)
            row[name] = found.rate if found else None
            row[f"{name}_ci95"] = [found.low, found.high] if found else None
        row["by_question"] = self._by_question() if self.suite == self.group[0].suite else {}
        if self.against is not None:
            change = self.difference
            row["against"] = self.against
            row["difference"] = change.difference if change else None
            row["difference_ci95"] = [change.low, change.high] if change else None
        if self.corrections:
            row["self_correction"] = {column: _without_key(one) for column, one in self.corrections.items()}
        if self.error_coherence is not None:
            row["error_coherence"] = _without_key(self.error_coherence)
        return row

    def _by_question(self) -> dict[str, dict[str, float | int | None]]:
        """The shares of single questions, without intervals."""
        return {
            name: {"n": tally.n, "scored": tally.scored}
            | {share: tally.share(SHARES[share]) for share in BY_QUESTION}
            for name, tally in self.group[0].questions.items()
        }


def listing(
    files: Mapping[str, Sequence[Answer]],
    criterion: Criterion,
    suites: Sequence[Suite],
    *,
    against: Against | None = None,
    topics: Sequence[str] = (),
    repeated: bool = False,
) -> list[Entry]:
    """One entry for each file, solution, scale and suite, and one for each macro mean over the domains.

    The macro means of a solution at a scale follow its last suite. They are over all files, unless two files
    have one suite of it: then each file has its own. A single domain has no macro mean.

    Args:
        files: judged answers by the file's name.
        criterion: what counts.
        suites: say which domains the anchor saw; all domains of the answers are among them.
        against: compare every solution with this one.
        topics: score columns of topics, for self-correction.
        repeated: split the error over repeated samples, an answer that shows the behaviour being an error.

    Raises:
        DataError: a suite is not among ``suites``, or ``against`` is not clear.
    """
    anchored = {suite.name: suite.anchored for suite in suites} | {ANCHORED: True, NEVER_ANCHORED: False}
    corrections = {column: _by_suite(files, partial(self_correction, column=column)) for column in topics}
    split = partial(error_coherence, value=verdict_of(criterion))
    splits = _by_suite(files, split) if repeated else {}

    def entry(file: str | None, suite: str, group: Sequence[SuiteTally]) -> Entry:
        key = (file or "", *_key(group[0]), suite)
        other = None if against is None else [against.of(file, one) for one in group]
        shown = None if other is None or None in other else [one for one in other if one is not None]
        itself = shown == list(group)
        return Entry(
            file=file,
            suite=suite,
            anchored=anchored.get(suite),
            criterion=criterion,
            group=tuple(group),
            against=against.name if against else None,
            difference=None if shown is None or itself else share_difference(group, shown),
            corrections={column: rows[key] for column, rows in corrections.items() if key in rows},
            error_coherence=splits.get(key),
        )

    entries: list[Entry] = []
    for block in _blocks(files, criterion):
        entries += [entry(file, one.suite, [one]) for file, one in block]
        places = {file for file, _ in block}
        groups = macro_groups([one for _, one in block], suites)
        if len(groups.get(OUT_OF_DOMAIN, [])) > 1:
            file = places.pop() if len(places) == 1 else None
            entries += [entry(file, suite, group) for suite, group in groups.items()]
    return entries


def _blocks(
    files: Mapping[str, Sequence[Answer]], criterion: Criterion
) -> list[list[tuple[str, SuiteTally]]]:
    """Each solution's counts at each scale, over all files or, where a suite is in two, by file."""
    by_key: dict[Key, list[tuple[str, SuiteTally]]] = {}
    for file, answers in files.items():
        for one in tallies(answers, criterion):
            by_key.setdefault(_key(one), []).append((file, one))
    blocks = []
    for rows in by_key.values():
        if len({one.suite for _, one in rows}) == len(rows):
            blocks.append(rows)
        else:
            blocks += [[row for row in rows if row[0] == file] for file in dict.fromkeys(f for f, _ in rows)]
    return blocks


def _by_suite(
    files: Mapping[str, Sequence[Answer]], measure: Callable[[Sequence[Answer]], Iterable[Row]]
) -> dict[tuple[str, str, str, float, str], Row]:
    """What was measured on each file, solution, scale and suite."""
    return {
        (file, one.model, one.solution, one.scale, one.suite): one
        for file, answers in files.items()
        for one in measure(answers)
    }


def _key(one: SuiteTally) -> Key:
    return one.model, one.solution, one.scale


def _without_key(one: SelfCorrection | ErrorCoherence) -> dict[str, Any]:
    """A record's numbers; what it is about stands in the row already."""
    return {
        name: value
        for name, value in asdict(one).items()
        if name not in ("model", "solution", "scale", "suite", "column")
    }
