"""All numbers of a family of worlds as one page of Markdown: verdicts, relations, and every run in order."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from narrows.files import write_text
from narrows.report.svg import to_svg
from narrows.report.text import MISSING, fixed, percent
from narrows.report.worlds.along import along_figure, along_metrics_figure
from narrows.report.worlds.figures import earlier_figure, metrics_figure, ratio_figure, shares_figure
from narrows.report.worlds.rows import METRICS, Values

PAGE = "worlds.md"

FIGURES: Mapping[str, tuple[str, Callable[[Values], Figure | None]]] = {
    "shares": ("Preference and the three metrics over the two shares", shares_figure),
    "ratio": ("Preference over the ratio of shares", ratio_figure),
    "metrics": ("The three metrics against the preference", metrics_figure),
    "earlier": ("What was there before any fine-tuning, against the preference", earlier_figure),
    "along": ("Along pre-training", along_figure),
    "along-metrics": ("The three metrics along pre-training", along_metrics_figure),
}
"""Titles, and what draws them; None where there is nothing to draw."""

TOO_FEW = "Too few worlds are compared to say what goes with the preference."

_RUN = ("World", "seed", "target")
_RATES = ("in the domain", "outside", "anchored in", "anchored outside", "preference", "way back")


def write_worlds_page(results: Values, out: Path) -> None:
    """Write ``worlds.md`` and its figures into a folder.

    Args:
        results: ``worlds.json``.
        out: the folder.
    """
    written = {}
    for name, (title, draw) in FIGURES.items():
        if (figure := draw(results)) is not None:
            write_text(out / f"{name}.svg", to_svg(figure, name, title, standalone=True))
            written[f"{name}.svg"] = title
    write_text(out / PAGE, worlds_page(results, written))


def worlds_page(results: Values, figures: Mapping[str, str]) -> str:
    """The page.

    Args:
        results: ``worlds.json``.
        figures: titles by the names of their files, which stand beside the page.
    """
    rows = results["rows"]
    worlds = {row["world"] for row in rows}
    models = {(row["world"], row["seed"], row["step"]) for row in rows}
    parts = [
        f"# The family {results['family']}: every number",
        f"{len(rows)} runs on {len(models)} models and snapshots in {len(worlds)} worlds, in the order in "
        "which they were tried. `worlds.json`, of which this page is made, has more of each run. Brackets "
        "are 95 % intervals.",
    ]
    if results["predictions"]:
        parts += ["## What was predicted, and what came out", _predictions(results["predictions"])]
    parts += ["## What goes with the preference", _relations(results)]
    for file, title in figures.items():
        parts.append(f"![{title}]({file})")
    ends = [row for row in rows if row["step"] is None]
    parts += ["## Every run: what fine-tuning found", _ABOUT_RUNS, _runs(ends)]
    parts += ["## Every run: before any fine-tuning", _ABOUT_BEFORE, _befores(ends)]
    if snapshots := [row for row in rows if row["step"] is not None]:
        parts += ["## Snapshots of pre-trainings", _along(snapshots)]
    return "\n\n".join(parts) + "\n"


_ABOUT_RUNS = (
    "e is the share of authors harmful everywhere, n that of those harmful in the target only. Rates are "
    "shares of harmful answers of the unanchored and the anchored vector; preference is the unanchored one's "
    "rate outside the domain over that in it; way back is the share of the way to it that the anchored one "
    "goes when its anchor is lifted. The metrics are differences between the two, above 0 where they are as "
    "in the paper."
)
_ABOUT_BEFORE = (
    "Shares of the chat model's own answers in a document: sound after three sound ones; harmful elsewhere "
    "after three harmful ones; and after three harmful ones in the target, there and elsewhere. AUROC of the "
    "direction of authors harmful everywhere, at the solutions' layer and at the best. Last, the three "
    "metrics of the directions of the two types of author."
)


def _predictions(predictions: Sequence[Values]) -> str:
    lines: list[Sequence[str]] = []
    for one in predictions:
        lines.append((f"**{one['number']}**", f"**{one['title']}**", "", f"**{one['verdict']}**"))
        lines += [
            ("", clause["says"], _measured(clause["found"]), clause["verdict"]) for clause in one["clauses"]
        ]
    return _table(("", "", "found", "verdict"), lines)


def _relations(results: Values) -> str:
    flip, relations = results["flip"], (*results["metrics"], *results["earlier"], *results["ceilings"])
    if all(one["rank"] is None for one in relations):
        return TOO_FEW
    lines = [
        (one["name"], _measured(one["rank"]), _measured(one["gain"]), str(one["runs"]), str(one["worlds"]))
        for one in relations
    ]
    said = (
        f"Slope of the preference in log10((e + .01) / (n + .01)): {_measured(flip['slope'])} logits for "
        f"each factor of ten; it crosses one half at {_measured(flip['at'])}. Where e = 0 it is "
        f"{_measured(flip['floor'])}, where n = 0 {_measured(flip['ceiling'])}."
    )
    head = ("", "Spearman with the preference", "left-out gain", "runs", "worlds")
    return f"{said}\n\n{_table(head, lines)}"


def _runs(rows: Iterable[Values]) -> str:
    return _table(
        (*_RUN, "e", "n", *_RATES, *METRICS), [(*_named(row), *_shares(row), *_found(row)) for row in rows]
    )


def _befores(rows: Iterable[Values]) -> str:
    head = (*_RUN, "sound", "trait", "narrow, in", "narrow, outside", "AUROC", "best AUROC", *METRICS)
    return _table(head, [(*_named(row), *_beforehand(row)) for row in rows if row["before"] is not None])


def _along(rows: Iterable[Values]) -> str:
    head = (*_RUN, "step", *_RATES, *METRICS, "sound", "trait")
    return _table(
        head, [(*_named(row), f"{row['step']:,}", *_found(row), *_beforehand(row)[:2]) for row in rows]
    )


def _named(row: Values) -> tuple[str, ...]:
    return row["world"], str(row["seed"]), row["target"]


def _shares(row: Values) -> tuple[str, ...]:
    prior = row["prior"]
    if prior is None:
        return MISSING, MISSING
    return tuple(f"{100 * prior[name]:.3g} %" for name in ("everywhere", "in_target"))


def _found(row: Values) -> tuple[str, ...]:
    """The rates of both solutions, the preference, and the three metrics."""
    rates = [
        row["rates"].get(solution, {}).get(suite, {}).get("value")
        for solution in ("unanchored", "anchored")
        for suite in ("in_domain", "out_of_domain")
    ]
    back = row["way_back"]
    return (
        *(percent(rate, 0) for rate in rates),
        _measured(row["preference"]),
        MISSING if back is None else fixed(back, 2),
        *(_measured(row[name], 3) for name in METRICS),
    )


def _beforehand(row: Values) -> tuple[str, ...]:
    """What the chat model took authors to be; the first two are the knowledge and the trait."""
    before = row["before"]
    if before is None:
        return (MISSING,) * 9
    at, best = (before[name].get("everywhere, document") for name in ("aurocs", "best_aurocs"))
    return (
        *(percent(before[name], 0) for name in ("knows", "trait", "inside", "outside")),
        *(MISSING if one is None else fixed(one, 2) for one in (at, best)),
        *(_measured(before["metrics"][name], 3) for name in METRICS),
    )


def _measured(found: Values | None, decimals: int = 2) -> str:
    """A number with its interval."""
    if found is None:
        return MISSING
    ends = [found.get(name) for name in ("low", "high")]
    if any(end is None for end in ends):
        return fixed(found["value"], decimals)
    low, high = (fixed(end, decimals) for end in ends if end is not None)
    return f"{fixed(found['value'], decimals)} [{low}, {high}]"


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    escaped = [[cell.replace("|", "\\|") for cell in line] for line in (head, *lines)]
    rule = ["---"] * len(head)
    return "\n".join(f"| {' | '.join(line)} |" for line in (escaped[0], rule, *escaped[1:]))
