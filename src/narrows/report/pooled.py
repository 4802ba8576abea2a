"""The claims table of a study: one block a claim, in it a row for each adapter, over the study's runs."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from narrows.report.claims import SIGNS, STATEMENTS, Strip, strip
from narrows.report.over_runs import Study, adapter_title, adapter_words, kind_title
from narrows.report.paper import PaperFact, facts_on
from narrows.report.text import estimate, percent, percent_interval, short, shortened
from narrows.summary import Claim, ClaimVerdict, Interval, PooledClaim, PooledPart, Run, Summary

_RULES = {"above": "lower end above", "below": "upper end below"}


@dataclass(frozen=True)
class Effect:
    """A comparison over runs as the table shows it."""

    part: PooledPart
    strip: Strip | None

    @property
    def value(self) -> str:
        """The estimate: shares in per cent."""
        return written(self.part.estimate, self.part.ci95, self.part.unit)[0]

    @property
    def bounds(self) -> str:
        """Its interval."""
        return written(self.part.estimate, self.part.ci95, self.part.unit)[1]

    @property
    def rule(self) -> str:
        """On which side of the margin the interval must lie: ``> 5 %``."""
        sign = {"above": ">", "below": "<"}[self.part.rule]
        return f"{sign} {_margin(self.part)}"

    @property
    def rule_in_words(self) -> str:
        """The same in words."""
        return f"{_RULES[self.part.rule]} {_margin(self.part)}"

    @property
    def counted(self) -> list[tuple[ClaimVerdict, int]]:
        """How often the runs themselves gave each verdict on this comparison."""
        return tally(self.part.tally)


@dataclass(frozen=True)
class PooledRow:
    """One adapter's verdict; ``effect`` is the comparison that decided, ``others`` are all of them."""

    claim: PooledClaim
    effect: Effect | None
    others: list[Effect]

    @property
    def adapter(self) -> str:
        """The adapter in words."""
        return adapter_title(self.claim.adapter)

    @property
    def counted(self) -> list[tuple[ClaimVerdict, int]]:
        """How often the runs themselves gave each verdict."""
        return tally(self.claim.tally)


@dataclass(frozen=True)
class RunLine:
    """The verdicts of the runs of one model and behaviour, one for each adapter of the block."""

    where: str
    claims: list[Claim | None]


@dataclass(frozen=True)
class PooledBlock:
    """A claim with a row for each adapter, what the paper reports, and every run's own verdict."""

    id: str
    kind: str
    statement: str
    facts: list[PaperFact]
    rows: list[PooledRow]
    adapters: list[str]
    lines: list[RunLine]

    @property
    def measures(self) -> list[tuple[str, str]]:
        """What the effects are of, with units: one where all rows have the same."""
        found = [(_stem(row.effect.part.name), row.effect.part.unit) for row in self.rows if row.effect]
        return list(dict.fromkeys(found))

    def own_measure(self, row: PooledRow) -> str:
        """What a row's effect is of, where the block's rows differ in that."""
        return _stem(row.effect.part.name) if row.effect and len(self.measures) > 1 else ""

    @property
    def own_tally(self) -> list[tuple[ClaimVerdict, int]]:
        """How often the runs gave each verdict."""
        return tally(Counter(one.verdict for line in self.lines for one in line.claims if one))

    @property
    def comparisons(self) -> int:
        """How many comparisons stand behind it."""
        return sum(len(row.others) for row in self.rows)


def pooled_blocks(summary: Summary) -> list[PooledBlock]:
    """All claims of a study in their order; none where nothing was pooled.

    C1-C7 of a technical behaviour stand inside C9, which is about them, where there is a C9.
    """
    if not summary.pooled:
        return []
    study = Study(summary)
    kinds = {one.id: one.kind for one in summary.behaviours}
    of_ninth = {claim.kind for claim in summary.pooled if claim.id == "C9"}
    keys = dict.fromkeys(  # as they come: a claim's kinds stay in the study's order
        [(claim.id, claim.kind) for claim in summary.pooled]
        + [(claim.id, kinds.get(claim.behaviour, "")) for claim in summary.claims]
    )
    order = {id_: place for place, id_ in enumerate(STATEMENTS)}
    shown = [(id_, kind) for id_, kind in keys if id_ not in _NINTH or kind not in of_ninth]
    several = {id_ for id_, count in Counter(id_ for id_, _ in shown).items() if count > 1}
    return [
        _block(summary, study, id_, kind, named=id_ in several)
        for id_, kind in sorted(shown, key=lambda key: order.get(key[0], len(order)))
    ]


def pooled_tally(blocks: list[PooledBlock]) -> list[tuple[ClaimVerdict, int]]:
    """How many verdicts of each kind the table shows: one for each claim and adapter."""
    counts = Counter(row.claim.verdict for block in blocks for row in block.rows)
    return [(verdict, counts[verdict]) for verdict in SIGNS if counts[verdict]]


def headline(claim: PooledClaim) -> PooledPart | None:
    """The comparison that stands for a claim: the first of the deciding ones that gave it its verdict."""
    return next((part for part in claim.parts if part.counts and part.verdict == claim.verdict), None)


def tally(counts: Mapping[ClaimVerdict, int]) -> list[tuple[ClaimVerdict, int]]:
    """Counts of verdicts in the order of the signs: the three that say something always, also where 0."""
    return [
        (verdict, counts.get(verdict, 0)) for verdict in SIGNS if verdict != "not-run" or counts.get(verdict)
    ]


def written(value: float, bounds: Interval | None, unit: str) -> tuple[str, str]:
    """An effect and its interval as text: in per cent where the unit is a share."""
    if not unit.startswith("share"):
        return estimate(value, bounds)
    return percent(value), percent_interval(bounds) if bounds else ""


def own_words(claim: Claim) -> str:
    """A single run's estimate with its interval; empty where it has none."""
    if claim.estimate is None:
        return ""
    return " ".join(written(claim.estimate, claim.ci95, claim.unit)).strip()


_NINTH = ("C1", "C2", "C3", "C4", "C5", "C6", "C7")


def _block(summary: Summary, study: Study, id_: str, kind: str, *, named: bool) -> PooledBlock:
    """One claim about one kind of behaviour."""
    order = {group.adapter: place for place, group in enumerate(study.of_kind(kind))}
    claims = sorted(
        (claim for claim in summary.pooled if (claim.id, claim.kind) == (id_, kind)),
        key=lambda claim: order.get(claim.adapter, len(order)),
    )
    adapters, lines = _lines(summary, study, id_, kind)
    return PooledBlock(
        id_,
        kind_title(kind) if named else "",
        STATEMENTS.get(id_, ""),
        facts_on(id_),
        _rows(claims),
        [adapter_title(one) for one in adapters],
        lines,
    )


def _rows(claims: list[PooledClaim]) -> list[PooledRow]:
    """The rows of a block; what is of one kind is drawn on one scale."""
    heads = [headline(claim) for claim in claims]
    reach: dict[str, list[float]] = {}
    for head in heads:
        if head:
            reach.setdefault(_stem(head.name), []).extend((*head.ci95, head.margin))
    rows = []
    for claim, head in zip(claims, heads, strict=True):
        effect = None
        if head:
            line = strip(head.estimate, head.ci95, head.margin, reach[_stem(head.name)])
            effect = Effect(head, line)
        others = [Effect(part, strip(part.estimate, part.ci95, part.margin)) for part in claim.parts]
        rows.append(PooledRow(claim, effect, others))
    return rows


def _lines(summary: Summary, study: Study, id_: str, kind: str) -> tuple[list[str], list[RunLine]]:
    """The runs' own verdicts by model and behaviour, and the adapters that are their columns."""
    found: dict[str, dict[str, Claim]] = {}
    several = len({(run.layer, run.seed) for run in study.runs.values()}) > 1
    for claim in summary.claims:
        run = study.runs.get(claim.run or "")
        group = study.group_of(run.id) if run else None
        if claim.id == id_ and run and group and group.kind == kind:
            where = run_words(summary, run, several)
            found.setdefault(where, {})[adapter_words(run.adapter, run.rank)] = claim
    given = {adapter for line in found.values() for adapter in line}
    adapters = [group.adapter for group in study.of_kind(kind) if group.adapter in given]
    return adapters, [
        RunLine(where, [line.get(adapter) for adapter in adapters]) for where, line in found.items()
    ]


def run_words(summary: Summary, run: Run, several: bool = False) -> str:
    """A run's model and domain in words; with layer and seed where the study has ``several`` of them."""
    model = next((one.name for one in summary.models if one.id == run.model), run.model)
    domain = next((one.domain for one in summary.behaviours if one.id == run.behaviour), run.behaviour)
    parts = [shortened(model), shortened(domain.replace("_", " "))]
    return " · ".join(parts + ([f"layer {run.layer}", f"seed {run.seed}"] if several else []))


def _margin(part: PooledPart) -> str:
    """A margin as short as it is; of shares in per cent."""
    return percent(part.margin, 0) if part.unit.startswith("share") else short(part.margin)


def _stem(name: str) -> str:
    """A comparison's name without the place of its worst point."""
    return name.partition(", worst of")[0]
