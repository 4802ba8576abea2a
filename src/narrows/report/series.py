"""The rows of a summary in the order and grouping in which the figures and tables show them."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from narrows.report.style import MAIN, rank
from narrows.report.text import shortened
from narrows.summary import Evaluation, Interval, Intervention, Summary

_LABELS = {
    "in_domain": "in domain",
    "out_of_domain": "out of domain (mean)",
    "out_of_domain:never_anchored": "never-anchored domains",
    "out_of_domain:anchored": "anchored domains",
    "open": "open questions",
}
SUITES = tuple(_LABELS)


def display_name(summary: Summary, solution: str) -> str:
    """What a solution is called in legends and tables: its name; the untouched model is ``chat model``."""
    if solution == "chat":
        return "chat model"
    names = {one.id: one.name for one in summary.solutions}
    name = names.get(solution, solution.rsplit("/", 1)[-1])
    return "chat model" if name == "chat" else shortened(name)


@dataclass(frozen=True)
class SuiteRow:
    """A row of the rates: a suite, and whether the anchor saw its domain (None: over several domains)."""

    suite: str
    anchored: bool | None

    @property
    def label(self) -> str:
        """The suite's name in words."""
        return _LABELS.get(self.suite, shortened(self.suite.replace("_", " "), 24))

    @property
    def group(self) -> str:
        """The heading it stands under."""
        return {None: "Suites", False: "Domains the anchor never saw", True: "Anchored domains"}[
            self.anchored
        ]

    @property
    def order(self) -> tuple[int, int, str]:
        """Sort key: suites over several domains, then never-anchored domains, then anchored ones."""
        known = SUITES.index(self.suite) if self.suite in SUITES else len(SUITES)
        return ((None, False, True).index(self.anchored), known, self.suite)


def row_of(summary: Summary, evaluation: Evaluation) -> SuiteRow:
    """The row an evaluation belongs to; a domain without a group takes it from the other solutions' rows."""
    if evaluation.suite in SUITES:
        return SuiteRow(evaluation.suite, None)
    anchored = evaluation.anchored
    if anchored is None:
        seen = {other.anchored for other in summary.evaluations if other.suite == evaluation.suite} - {None}
        anchored = seen.pop() if len(seen) == 1 else None
    return SuiteRow(evaluation.suite, anchored)


def suite_rows(summary: Summary) -> list[SuiteRow]:
    """All rows: the suites over several domains, then never-anchored domains, then anchored ones."""
    return sorted({row_of(summary, one) for one in summary.evaluations}, key=lambda row: row.order)


Rates = dict[tuple[SuiteRow, str, float], list[Evaluation]]


def rates(summary: Summary) -> Rates:
    """Evaluations by row, name and scale; several in one cell are several models or target domains.

    The chat model has no scale: it is entered once, at 1.
    """
    cells: Rates = defaultdict(list)
    for one in summary.evaluations:
        name = display_name(summary, one.solution)
        cells[row_of(summary, one), name, 1.0 if name == "chat model" else one.scale].append(one)
    return cells


def shown_names(names: Iterable[str]) -> list[str]:
    """The main solutions among ``names``; where none of them is there, the first four."""
    ordered = sorted(set(names), key=rank)
    main = [name for name in ordered if name in MAIN]
    return main if set(main) - {"chat model"} else ordered[:4]


def mean_misaligned(found: Sequence[Evaluation]) -> float:
    """The mean rate of the runs in one cell."""
    return sum(one.misaligned for one in found) / len(found)


def scaled_rows(summary: Summary) -> list[SuiteRow]:
    """The rows that were measured at more than one scale: the known suites, or else the first three."""
    scaled = {row for row, _, scale in rates(summary) if scale != 1 and row.anchored is not True}
    rows = [row for row in suite_rows(summary) if row in scaled]
    return [row for row in rows if row.suite in SUITES] or rows[:3]


def lowest_coherence(summary: Summary, name: str) -> dict[float, float]:
    """The lowest coherent share over all suites and runs of one solution, by scale."""
    lowest: dict[float, float] = {}
    for (_, other, scale), found in rates(summary).items():
        if other == name:
            lowest[scale] = min(lowest.get(scale, 1.0), *(one.coherent for one in found))
    return dict(sorted(lowest.items()))


@dataclass(frozen=True)
class Curve:
    """One line of a figure with its band; ``runs`` is how many lines of that name there are."""

    name: str
    x: list[float]
    y: list[float]
    low: list[float]
    high: list[float]
    runs: int


def curves(points: Iterable[tuple[str, str, float, float, Interval]]) -> list[Curve]:
    """Points (name, run, x, y, interval) as curves, one for each name and run, in legend order.

    Several points of one run at the same x (draws of a random direction) become their mean, with the widest
    interval.
    """
    grouped: dict[tuple[str, str], dict[float, list[tuple[float, Interval]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for name, run, x, y, bounds in points:
        grouped[name, run][x].append((y, bounds))
    runs: dict[str, int] = defaultdict(int)
    for name, _ in grouped:
        runs[name] += 1
    found = []
    for name, run in sorted(grouped, key=lambda key: (rank(key[0]), key[1])):
        at = sorted(grouped[name, run].items())
        found.append(
            Curve(
                name,
                [x for x, _ in at],
                [sum(y for y, _ in here) / len(here) for _, here in at],
                [min(bounds[0] for _, bounds in here) for _, here in at],
                [max(bounds[1] for _, bounds in here) for _, here in at],
                runs[name],
            )
        )
    return found


def efficiency_curves(summary: Summary) -> list[Curve]:
    """Loss against effective norm."""
    return curves(
        (display_name(summary, row.solution), row.solution, row.norm, row.loss, row.loss_ci95)
        for row in summary.efficiency
    )


def stability_curves(summary: Summary) -> list[Curve]:
    """Relative rise of the loss against ε."""
    return curves(
        (
            display_name(summary, row.solution),
            row.solution,
            row.epsilon,
            row.relative_increase,
            row.relative_increase_ci95,
        )
        for row in summary.stability
    )


def direction_name(summary: Summary, direction: str) -> str:
    """A direction's name without the number of its draw: ``random-3`` is ``random``."""
    return re.sub(r"[-_#]\d+$", "", display_name(summary, direction))


def significance_curves(summary: Summary, text: str) -> list[Curve]:
    """KL from the chat model against effective norm on one type of text; positive values only (log axes)."""
    return curves(
        (direction_name(summary, row.direction), row.solution or "", row.norm, row.kl, row.kl_ci95)
        for row in summary.significance
        if row.text == text and row.kl > 0 and row.norm > 0
    )


def text_types(summary: Summary) -> list[str]:
    """Types of text, all text first."""
    return sorted({row.text for row in summary.significance}, key=lambda text: (text != "all", text))


def trained_norms(summary: Summary) -> dict[str, list[float]]:
    """Effective norm at the end of training, by name."""
    norms: dict[str, list[float]] = defaultdict(list)
    for one in summary.solutions:
        norms[display_name(summary, one.id)].append(one.effective_norm)
    return norms


TRAJECTORY_COLUMNS = {
    "cos_general": "cosine to the general end",
    "cos_narrow": "cosine to the narrow end",
    "norm": "norm ‖αv‖",
    "distance_general": "distance to the general end",
    "distance_narrow": "distance to the narrow end",
    "local_cosine": "local cosine",
}
"""What is drawn of a run by step, where it was measured, with its title."""

GRADIENT_LABELS = {"unanchored": "with the general solution", "anchored": "with the narrow solution"}
MOST_GRADIENT_RUNS = 6
MOST_INTERVENTIONS = 24


def gradient_runs(summary: Summary) -> dict[str, list[Curve]]:
    """The cosines of each run's gradient with the general and the narrow solution, in their colours.

    At most the first six runs; the band is the row's own interval, where it has one.
    """
    names = list(dict.fromkeys(row.run for row in summary.gradients))[:MOST_GRADIENT_RUNS]
    runs = {name: [row for row in summary.gradients if row.run == name] for name in names}
    return {
        name: curves(
            point
            for row in rows
            for point in (
                (
                    "unanchored",
                    name,
                    float(row.step),
                    row.cos_general,
                    _band(row.cos_general, row.cos_general_ci95),
                ),
                (
                    "anchored",
                    name,
                    float(row.step),
                    row.cos_narrow,
                    _band(row.cos_narrow, row.cos_narrow_ci95),
                ),
            )
        )
        for name, rows in runs.items()
    }


SUBSPACE_LABELS = {"unanchored": "other domains", "anchored": "in domain", "lifted": "open questions"}


def subspace_curves(summary: Summary) -> list[Curve]:
    """The rates of each orthogonal vector by its number, 0 the chat model, in the main solutions' colours."""
    return curves(
        point
        for row in summary.subspaces
        for point in (
            ("unanchored", "", float(row.index), row.out_of_domain, row.out_of_domain_ci95),
            ("anchored", "", float(row.index), row.in_domain, row.in_domain_ci95),
            ("lifted", "", float(row.index), row.open, row.open_ci95),
        )
    )


@dataclass(frozen=True)
class InterventionRow:
    """An intervention under the name of what was changed, by which direction, and where it was asked."""

    label: str
    found: Intervention


def intervention_rows(summary: Summary) -> list[InterventionRow]:
    """Interventions in the summary's order, at most the first 24: what was changed, how, and the suite."""
    several = len({row.solution for row in summary.interventions}) > 1
    rows = []
    for row in summary.interventions[:MOST_INTERVENTIONS]:
        parts = [display_name(summary, row.solution)] if several else []
        parts += [shortened(f"{row.kind}: {row.direction}", 34)]
        if row.suite != "out_of_domain":
            parts += [_LABELS.get(row.suite, shortened(row.suite.replace("_", " "), 24))]
        rows.append(InterventionRow(", ".join(parts), row))
    return rows


def _band(value: float, bounds: Interval | None) -> Interval:
    return (value, value) if bounds is None else bounds
