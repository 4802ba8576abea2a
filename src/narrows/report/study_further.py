"""A study's sections about directions and mitigations, and the tables of its runs and solutions.

What has a figure for one run is shown by that figure, with means over the runs in the place of its numbers.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from narrows.report import direction_sections, mitigations, sheet
from narrows.report.direction_tables import trajectory_table
from narrows.report.grouped import group_columns
from narrows.report.over_runs import Group, Spread, Study, kind_title, rate_spread, spread
from narrows.report.pooled import run_words
from narrows.report.section import Section
from narrows.report.sheet import Sheet
from narrows.report.study_rates import role
from narrows.report.style import is_known, rank
from narrows.report.tables import Table
from narrows.report.text import counted, shortened
from narrows.summary import Intervention, Mitigation, Run, Solution, Subspace, Summary, Trajectory

T = TypeVar("T", bound=Intervention | Mitigation | Subspace)


def trajectory_section(study: Study) -> Section | None:
    """The paths of training: those of the first run with each adapter."""
    chosen: dict[str, tuple[Trajectory, str]] = {}
    for path in study.summary.trajectories:
        names = [study.place(run.name) for run in path.runs]
        run = next((run for run, _ in names if run), "")
        group = study.group_of(run)
        adapter = group.adapter if group else ""
        if adapter not in chosen:
            runs = [
                one.model_copy(update={"name": name}) for one, (_, name) in zip(path.runs, names, strict=True)
            ]
            words = f"{group.title}: {run_words(study.summary, study.runs[run])}" if group else ""
            chosen[adapter] = path.model_copy(update={"runs": runs}), words
    shown = Summary(trajectories=[path for path, _ in chosen.values()])
    several = len(study.runs) > 1
    headings = [words for _, words in chosen.values()] if several else []
    section = direction_sections.trajectory_section(shown, headings)
    if section is None:
        return None
    every = len(study.summary.trajectories)
    said = (
        f" Shown is the first run of each adapter, {len(section.pictures)} of {every}." if every > 1 else ""
    )
    # A run's id says which of several it is.
    table = trajectory_table(study.summary if several else shown)
    return replace(section, lead=section.lead + said, tables=[table])


def interventions_section(study: Study) -> Section | None:
    """Rates before and after interventions, over runs."""

    def pooled(rows: Sequence[Intervention]) -> Intervention:
        before = rate_spread([row.before for row in rows], rows[0].before_ci95)
        after = rate_spread([row.after for row in rows], rows[0].after_ci95)
        coherent = [row.coherent_before for row in rows if row.coherent_before is not None]
        return Intervention(
            solution=study.place(rows[0].solution)[1],
            direction=study.place(rows[0].direction)[1],
            kind=rows[0].kind,
            suite=rows[0].suite,
            before=before.mean,
            before_ci95=before.ci95,
            after=after.mean,
            after_ci95=after.ci95,
            coherent_before=_mean(coherent) if coherent else None,
            coherent=_mean([row.coherent for row in rows]),
            text_loss=_mean([row.text_loss for row in rows]),
        )

    rows = _by_group(
        study,
        study.summary.interventions,
        lambda row: (study.place(row.solution)[1], study.place(row.direction)[1], row.kind, row.suite),
        pooled,
    )
    names = {row.solution for _, found, _ in rows for row in found}
    of_kinds: list[tuple[Group, list[Intervention], int]] = []
    for kind in study.kinds:  # the adapters of a kind stand in one figure
        mine = [(group, found, runs) for group, found, runs in rows if group.kind == kind]
        together = []
        for adapters, found, _ in mine:
            for row in found:
                words = [adapters.title, *([row.solution] if len(names) > 1 else [])]
                together.append(row.model_copy(update={"solution": ", ".join(words)}))
        if together:
            of_kinds.append((replace(mine[0][0], adapter=""), together, max(runs for _, _, runs in mine)))
    return _joined(
        of_kinds, lambda found, slug, words: direction_sections.interventions_section(
            Summary(interventions=found), slug, words
        )
    )  # fmt: skip


def mitigations_section(study: Study) -> Section | None:
    """Every mitigation at each strength, over runs."""

    def pooled(rows: Sequence[Mitigation]) -> Mitigation:
        changed: dict[str, object] = {"solution": study.place(rows[0].solution)[1]}
        for field in ("in_domain", "out_of_domain", "never_anchored", "open", "coherent"):
            known = [value for row in rows if (value := getattr(row, field)) is not None]
            if known:
                found = rate_spread(known, getattr(rows[0], f"{field}_ci95"))
                changed |= {field: found.mean, f"{field}_ci95": found.ci95 or (found.mean, found.mean)}
        for field in ("training_seconds", "preparation_seconds"):
            changed[field] = _mean([getattr(row, field) for row in rows])
        for field in ("training_rows", "training_tokens"):
            changed[field] = round(_mean([getattr(row, field) for row in rows]))
        ratios = [row.inference_ratio for row in rows if row.inference_ratio is not None]
        changed["inference_ratio"] = _mean(ratios) if ratios else None
        return rows[0].model_copy(update=changed)

    rows = _by_group(
        study, study.summary.mitigations, lambda row: (row.method, row.setting, str(row.scale)), pooled
    )
    return _joined(
        rows, lambda found, slug, words: mitigations.mitigations_section(
            Summary(mitigations=found), slug, words
        )
    )  # fmt: skip


def subspaces_section(study: Study) -> Section | None:
    """Vectors at right angles to all before, over runs."""

    def pooled(rows: Sequence[Subspace]) -> Subspace:
        changed: dict[str, object] = {}
        for field in ("in_domain", "out_of_domain", "open", "loss"):
            values = [getattr(row, field) for row in rows]
            own = getattr(rows[0], f"{field}_ci95")
            found = spread(values, own=own) if field == "loss" else rate_spread(values, own)
            changed |= {field: found.mean, f"{field}_ci95": found.ci95}
        changed |= {field: _mean([getattr(row, field) for row in rows]) for field in ("coherent", "norm")}
        return rows[0].model_copy(update=changed)

    rows = _by_group(study, study.summary.subspaces, lambda row: (str(row.index),), pooled)
    return _joined(
        rows, lambda found, slug, words: direction_sections.subspaces_section(
            Summary(subspaces=found), slug, words
        )
    )  # fmt: skip


def _by_group(
    study: Study,
    rows: Sequence[T],
    key: Callable[[T], tuple[str, ...]],
    pooled: Callable[[Sequence[T]], T],
) -> list[tuple[Group, list[T], int]]:
    """Rows with the same key over the runs of a group as one row; with each group, how many runs it has."""
    found: dict[int, dict[tuple[str, ...], list[T]]] = defaultdict(lambda: defaultdict(list))
    runs: dict[int, set[str]] = defaultdict(set)
    numbers = {run.id: number for number, group in enumerate(study.groups) for run in group.runs}
    for row in rows:
        run = study.place(row.solution)[0]
        if run:
            found[numbers[run]][key(row)].append(row)
            runs[numbers[run]].add(run)
    return [
        (study.groups[number], [pooled(same) for same in found[number].values()], len(runs[number]))
        for number in sorted(found)
    ]


def _joined(
    rows: Sequence[tuple[Group, list[T], int]], make: Callable[[list[T], str, str], Section | None]
) -> Section | None:
    """One section with a figure and tables for each group."""
    sections = []
    for number, (group, found, runs) in enumerate(rows):
        whose = ", ".join([kind_title(group.kind), *([group.title] if group.adapter else [])])
        words = f"{whose}: means over {runs} runs" if runs > 1 else f"{whose}: one run"
        if section := make(found, f"-{number + 1}" if number else "", words):
            tables = [replace(table, title=f"{table.title}: {whose}") for table in section.tables]
            sections.append(replace(section, tables=tables))
    if not sections:
        return None
    pictures = [picture for section in sections for picture in section.pictures]
    return replace(sections[0], pictures=pictures, tables=[t for section in sections for t in section.tables])


@dataclass(frozen=True)
class _Solutions:
    """The solutions of one name over the runs of a group."""

    group: Group
    name: str
    found: list[Solution]

    def verdicts(self, verdict: str) -> int:
        return sum(one.verdict == verdict for one in self.found)

    @property
    def norm(self) -> Spread:
        return spread([one.effective_norm for one in self.found])

    @property
    def weight(self) -> Spread:
        return spread([one.kl_weight for one in self.found])


def solutions_over_runs(study: Study) -> tuple[Table, Sheet]:
    """What became of each recipe: how many runs' solutions are narrow, general or neither."""
    found: dict[tuple[int, str], list[Solution]] = defaultdict(list)
    numbers = {run.id: number for number, group in enumerate(study.groups) for run in group.runs}
    for one in study.summary.solutions:
        run, name = study.place(one.id)
        if run:
            found[numbers[run], role(name)].append(one)
    rows = [
        _Solutions(study.groups[number], name, found[number, name])
        for number, name in sorted(found, key=lambda key: (key[0], rank(key[1])))
    ]
    return sheet.tabulated(
        "solutions-over-runs",
        "Solutions over runs",
        [
            *group_columns(),
            sheet.words("solution", lambda row: row.name),
            sheet.amount("runs", lambda row: len(row.found)),
            sheet.amount("narrow", lambda row: row.verdicts("narrow")),
            sheet.amount("general", lambda row: row.verdicts("general")),
            sheet.amount("neither", lambda row: row.verdicts("neither")),
            sheet.quantity("λ", lambda row: row.weight, "per token-nat"),
            sheet.quantity("effective norm", lambda row: row.norm, "‖αv‖ or ‖sBA‖"),
        ],
        rows,
        3,
        on_page=lambda row: is_known(row.name),
        left_out="Further λ and mixtures are in the file, every run's own in tables/solutions.csv.",
    )


def runs_table(study: Study) -> Table:
    """Every run of the study."""
    kinds = Counter(group.kind for group in study.groups)

    def row(run: Run) -> tuple[str, ...]:
        group = study.group_of(run.id)
        kind = [kind_title(group.kind) if group else ""] if len(kinds) > 1 else []
        return (
            run_words(study.summary, run),
            *kind,
            group.title if group else "",
            str(run.layer),
            str(run.seed),
            f"{run.kl_weight:g}",
            shortened(run.kl_weight_chosen, 80),
        )

    headers = ("model and domain", *(["behaviour"] if len(kinds) > 1 else []), "adapter")
    return Table(
        counted(len(study.runs), "run"),
        (*headers, "layer", "seed", "λ", "how it was chosen"),
        [row(run) for run in study.runs.values()],
        len(headers),
        file="tables/runs.csv",
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
