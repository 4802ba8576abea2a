"""A study's runs as the report groups them, and numbers over runs: mean, t interval, single runs."""

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from narrows.report.text import shortened
from narrows.statistics import mean_interval
from narrows.summary import Interval, Run, Summary

CHAT = "chat"


@dataclass(frozen=True)
class Spread:
    """A number over runs: the mean, its 95 % interval (none for one run), and the runs' own numbers."""

    mean: float
    ci95: tuple[float, float] | None
    each: tuple[float, ...]

    @property
    def runs(self) -> int:
        """How many runs gave it."""
        return len(self.each)

    @property
    def low(self) -> float:
        """The interval's lower end; the mean where there is none."""
        return self.ci95[0] if self.ci95 else self.mean

    @property
    def high(self) -> float:
        """The interval's upper end; the mean where there is none."""
        return self.ci95[1] if self.ci95 else self.mean


def spread(
    values: Sequence[float],
    within: tuple[float, float] = (-math.inf, math.inf),
    own: Interval | None = None,
) -> Spread:
    """The mean over runs; the unit of the interval is a run.

    Args:
        values: one a run, at least one.
        within: what the quantity cannot leave; the interval is cut there (a rate's at 0 and 1).
        own: the interval of a single run, which stands where there are no others.
    """
    if len(values) < 2:
        return Spread(values[0], own, tuple(values))
    found = mean_interval(values)
    low, high = max(found.low, within[0]), min(found.high, within[1])
    return Spread(found.mean, (min(low, found.mean), max(high, found.mean)), tuple(values))


def rate_spread(values: Sequence[float], own: Interval | None = None) -> Spread:
    """The same for rates."""
    return spread(values, (0.0, 1.0), own)


@dataclass(frozen=True)
class Group:
    """The runs with one kind of behaviour and one adapter: what a mean is taken over."""

    kind: str
    adapter: str
    runs: tuple[Run, ...] = field(compare=False)

    @property
    def title(self) -> str:
        """The adapter as a heading."""
        return adapter_title(self.adapter)


class Study:
    """A summary's runs by kind of behaviour and adapter, and to whom a row belongs.

    Args:
        summary: of a study; one that names no runs has no groups.
    """

    def __init__(self, summary: Summary) -> None:
        self.summary = summary
        kinds = {one.id: one.kind for one in summary.behaviours}
        self.runs = {run.id: run for run in summary.runs}
        groups: dict[tuple[str, str], list[Run]] = defaultdict(list)
        for run in self.runs.values():
            groups[kinds.get(run.behaviour, ""), adapter_words(run.adapter, run.rank)].append(run)
        order = {"steering": 0}
        keys = sorted(groups, key=lambda key: (order.get(key[1], 1), _natural(key[1])))
        self.kinds = list(dict.fromkeys(kind for kind, _ in groups))
        self.groups = [
            Group(kind, adapter, tuple(groups[kind, adapter]))
            for one in self.kinds
            for kind, adapter in keys
            if kind == one
        ]

    def of_kind(self, kind: str) -> list[Group]:
        """The groups of one kind of behaviour: an adapter each."""
        return [group for group in self.groups if group.kind == kind]

    def group_of(self, run: str) -> Group | None:
        """The group of a run."""
        return next((group for group in self.groups if any(one.id == run for one in group.runs)), None)

    def place(self, id_: str) -> tuple[str, str]:
        """The run a row belongs to, and its name there: ``RUN/anchored`` is (``RUN``, ``anchored``).

        What belongs to no run has an empty one.
        """
        for slash in re.finditer("/", id_):  # a run's id may hold one itself
            if (run := id_[: slash.start()]) in self.runs:
                return run, id_[slash.end() :]
        return "", id_


def several_runs(summary: Summary) -> bool:
    """Whether the page shows means over runs instead of a run."""
    return len(summary.runs) > 1


def adapter_words(adapter: str, rank: int | None) -> str:
    """An adapter as :class:`narrows.summary.PooledClaim` has it: ``steering``, ``lora, rank 32``."""
    return adapter if rank is None else f"{adapter}, rank {rank}"


def adapter_title(words: str) -> str:
    """The same as a heading: ``steering vector``, ``rank-32 LoRA``."""
    ranked = re.fullmatch(r"lora, rank (\d+)", words)
    return (
        f"rank-{ranked[1]} LoRA"
        if ranked
        else {"steering": "steering vector"}.get(words, shortened(words, 30))
    )


def kind_title(kind: str) -> str:
    """A kind of behaviour as a heading."""
    return shortened(kind.replace("_", " "), 40).capitalize() or "Behaviour"


def slugs(kinds: Iterable[str]) -> dict[str, str]:
    """What a kind adds to the names of its figures: nothing where there is one kind only; never the same."""
    kinds = list(kinds)
    if len(kinds) < 2:
        return dict.fromkeys(kinds, "")
    found: dict[str, str] = {}
    for place, kind in enumerate(kinds):
        slug = "-" + (re.sub("[^a-z0-9]+", "-", kind.lower()).strip("-")[:24] or "kind")
        found[kind] = slug if slug not in found.values() else f"{slug}-{place + 1}"
    return found


def _natural(words: str) -> tuple[str, int, str]:
    """Sort key: numbers by size, so that rank 2 stands before rank 16."""
    number = re.search(r"\d+", words)
    return re.sub(r"\d+.*", "", words), int(number.group()) if number else -1, words
