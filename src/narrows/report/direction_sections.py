"""The page's sections about directions: paths of training, gradients, interventions."""

from collections.abc import Sequence

from narrows.report import direction_tables, figures, series
from narrows.report.picture import Caption, make_picture
from narrows.report.section import Section, spoken
from narrows.report.text import counted, number, percent
from narrows.report.turntable import turntable
from narrows.summary import Summary, Trajectory

MOST_TRAJECTORIES = 4


def trajectory_section(summary: Summary, headings: Sequence[str] = ()) -> Section | None:
    """The paths of training; ``headings`` stand above the figures, where there are several."""
    if not summary.trajectories:
        return None
    pictures = []
    for index, path in enumerate(summary.trajectories[:MOST_TRAJECTORIES]):
        account = spoken(
            f"{run.name}: cosine to general {number(run.cos_general[0])} to {number(run.cos_general[-1])}"
            for run in path.runs
            if run.cos_general
        )
        caption = Caption(
            "Trajectory",
            "Each path begins at a hollow circle and ends at its marker. If lifting the anchor lets the "
            "narrow solution go, its cosine to the general end rises. A sharp dip of the local cosine is a "
            "turn.",
            f"{sum(len(run.steps) for run in path.runs)} checkpoints of {counted(len(path.runs), 'run')}; "
            "coordinates "
            f"{'standardised' if path.standardised else 'not standardised'} before the components "
            f"{f'of {path.of} ' if path.of else ''}were taken."
            f"{_window(path)}",
            f"Paths of training. {account}",
            headings[index] if index < len(headings) else "",
        )
        name = "trajectory" if index == 0 else f"trajectory-{index + 1}"
        view = turntable(path)
        pictures.append(make_picture(figures.trajectory, summary, name, caption, index, view=view))
    left_out = len(summary.trajectories) - len(pictures)
    return Section(
        "trajectory",
        "Trajectory",
        "Where training goes when it starts from the narrow solution, with the anchor and without."
        + (f" {left_out} more in summary.json." if left_out else ""),
        pictures,
        [direction_tables.trajectory_table(summary)],
    )


def gradients_section(summary: Summary) -> Section | None:
    """The gradient's cosines along training."""
    if not summary.gradients:
        return None
    runs = series.gradient_runs(summary)
    left_out = len({row.run for row in summary.gradients}) - len(runs)
    account = spoken(
        f"{name}, {series.GRADIENT_LABELS[curve.name]}: {number(curve.y[0])} at step {number(curve.x[0])} "
        f"to {number(curve.y[-1])} at step {number(curve.x[-1])}"
        for name, found in runs.items()
        for curve in found
    )
    caption = Caption(
        "Gradients",
        "Training is pulled towards the solution with the higher curve. Near 0 it is pulled towards neither.",
        f"{len(summary.gradients)} gradients along {counted(len(runs) + left_out, 'run')}"
        + (f", {left_out} of them in the table only" if left_out else "")
        + ("; bands are 95\u202f%." if any(row.cos_general_ci95 for row in summary.gradients) else "."),
        f"Cosine of the loss gradient with both solutions. {account}",
    )
    return Section(
        "gradients",
        caption.title,
        "Where the loss pulls an adapter while it is trained: the cosine of the way down with the general "
        "and with the narrow solution.",
        [make_picture(figures.gradients, summary, "gradients", caption)],
        [direction_tables.gradients_table(summary)],
    )


def subspaces_section(summary: Summary, slug: str = "", heading: str = "") -> Section | None:
    """The curve of vectors at right angles to one another; ``slug`` is added to the figure's name."""
    if not summary.subspaces:
        return None
    vectors = [row for row in summary.subspaces if row.index]
    account = spoken(
        f"vector {row.index}: {percent(row.out_of_domain, 0)} in other domains, {percent(row.open, 0)} on "
        f"open questions, {percent(row.coherent, 0)} coherent"
        for row in vectors
    )
    caption = Caption(
        "Orthogonal vectors",
        "If one direction alone caused the behaviour, the curves would fall to the chat model's level after "
        "the first vector. Read each rate beside the coherence: a late vector may reach it by breaking the "
        "answers.",
        f"{counted(len(vectors), 'vector')}, each trained on the same rows at a right angle to all before; "
        "lines are 95\u202f% intervals.",
        f"Rates of each vector. {account}",
        heading,
    )
    return Section(
        "subspaces",
        caption.title,
        "Is the general direction one of many? Vectors are trained one after another, each kept orthogonal "
        "to all before.",
        [make_picture(figures.subspaces, summary, f"subspaces{slug}", caption)],
        [direction_tables.subspaces_table(summary)],
    )


def interventions_section(summary: Summary, slug: str = "", heading: str = "") -> Section | None:
    """Rates before and after interventions; ``slug`` is added to the figure's name."""
    if not summary.interventions:
        return None
    rows = series.intervention_rows(summary)
    left_out = len(summary.interventions) - len(rows)
    account = spoken(
        f"{row.label}: {percent(row.found.before, 0)} to {percent(row.found.after, 0)}" for row in rows
    )
    caption = Caption(
        "Interventions",
        "A direction matters as far as the filled marker lies to the left of the hollow one. It costs "
        "nothing if answers stay coherent and the loss on ordinary text (in the table) stays at 1.",
        f"{counted(len(summary.interventions), 'intervention')}"
        + (f", {left_out} of them in the table only" if left_out else "")
        + "; out-of-domain rates unless another suite is named. Lines are 95\u202f% intervals.",
        f"Rates before and after. {account}",
        heading,
    )
    return Section(
        "interventions",
        caption.title,
        "What becomes of the behaviour when a direction is added, removed or clamped while the model "
        "answers.",
        [make_picture(figures.interventions, summary, f"interventions{slug}", caption)],
        [direction_tables.interventions_table(summary)],
    )


def _window(path: Trajectory) -> str:
    """What the local cosine looks at, for a caption."""
    if path.window is None or not any(run.local_cosine for run in path.runs):
        return ""
    return f" The local cosine is that of the ways from and to {counted(path.window, 'checkpoint')} away."
