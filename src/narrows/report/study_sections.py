"""The measured part of a study's page: one section for each kind of measurement, over the study's runs."""

from narrows.report import sheet
from narrows.report.frontier import FrontierPoint, frontier_over_runs, frontier_points
from narrows.report.grouped import data_words, group_columns
from narrows.report.mixing import SERIES, mixing_over_runs, mixing_points
from narrows.report.over_runs import Study, kind_title, slugs
from narrows.report.picture import Caption, make_picture
from narrows.report.section import Section, spoken
from narrows.report.study_rates import RateCell, rate_cells, rates_over_runs, scales_over_runs
from narrows.report.style import MAIN
from narrows.report.text import counted, percent, short


def rates_section(study: Study) -> Section | None:
    """Rates by suite and domain for each adapter."""
    cells = rate_cells(study)
    if not cells:
        return None
    pictures = []
    for kind, slug in slugs(study.kinds).items():
        mine = [cell for cell in cells if cell.group.kind == kind]
        shown = [cell for cell in mine if cell.name in MAIN and cell.scale == 1]
        if not shown:
            continue
        caption = Caption(
            "Rates by suite",
            "A general solution is far to the right in every row; a narrow one only in its own domain, and "
            "at the chat model's place in all others. Whether it really is narrow shows in the domains the "
            "anchor never saw. A rate means little where coherence, in the table, is low.",
            f"{data_words(study.of_kind(kind), single='ticks')} {_answers(shown)} Single domains are means "
            "over the runs that did not train on them; on a narrow screen they stand in the table's file "
            "only.",
            spoken(
                f"{cell.group.title}, {cell.row.label}, {cell.name}: {percent(cell.misaligned.mean, 0)}"
                for cell in shown
                if cell.several_domains
            ),
            kind_title(kind) if slug else "",
        )
        pictures.append(make_picture(rates_over_runs, mine, f"rates{slug}", caption))
    table, file = sheet.tabulated(
        "rates-over-runs",
        "Rates over runs, with 95\u202f% intervals",
        [
            *group_columns(),
            sheet.words("solution", lambda cell: cell.name),
            sheet.words("suite", lambda cell: cell.row.label),
            sheet.amount("scale", lambda cell: cell.scale, "multiple of the trained norm"),
            sheet.rate("misaligned", lambda cell: cell.misaligned),
            sheet.rate("coherent", lambda cell: cell.coherent),
            sheet.amount("runs", lambda cell: cell.misaligned.runs),
        ],
        cells,
        4,
        on_page=lambda cell: cell.several_domains and cell.name in MAIN,
        left_out="Single domains and further solutions are in the file.",
    )
    return Section(
        "rates",
        "Rates by domain",
        "How often each model gives a misaligned answer, in its domain and everywhere else.",
        pictures,
        [table],
        [file],
    )


def scales_section(study: Study) -> Section | None:
    """The anchored solution, scaled up."""
    cells = [cell for cell in rate_cells(study) if cell.name == "anchored"]
    pictures = []
    for kind, slug in slugs(study.kinds).items():
        mine = [cell for cell in cells if cell.group.kind == kind]
        scales = {cell.scale for cell in mine}
        if len(scales) < 2:
            continue
        caption = Caption(
            "Rate against scale",
            "A truly narrow solution stays low outside its domain while it is made longer; one that rises "
            "was narrow only because it was short. Where coherence (dashed) falls, so does the meaning of "
            "the rates.",
            f"The anchored solution at {counted(len(scales), 'scale')}. {data_words(study.of_kind(kind))}",
            spoken(
                f"{cell.group.title}, {cell.row.label} at {short(cell.scale)} times: "
                f"{percent(cell.misaligned.mean, 0)}"
                for cell in mine
                if cell.several_domains
            ),
            kind_title(kind) if slug else "",
        )
        pictures.append(make_picture(scales_over_runs, mine, f"scales{slug}", caption))
    if not pictures:
        return None
    lead = "The anchored solutions, made longer. Their numbers are in the table of rates."
    return Section("scale", "Rate against scale", lead, pictures)


def frontier_section(study: Study) -> Section | None:
    """Narrow against general, over λ and over mixtures."""
    points, mixtures = frontier_points(study), mixing_points(study)
    if not points or not (mixtures or any(point.weight for point in points)):
        return None
    pictures = []
    for kind, slug in slugs(study.kinds).items():
        mine = [point for point in points if point.group.kind == kind]
        mixed = [point for point in mixtures if point.group.kind == kind]
        if not mine:
            continue
        caption = Caption(
            "Frontier of narrow and general",
            "The lower right corner is a narrow fine-tune: the behaviour in its domain and nowhere else. "
            "Numbers are λ. If mixing in good data could isolate the narrow solution, its paths would "
            "reach that corner too; a path along the dotted line turns the behaviour down everywhere alike.",
            data_words(study.of_kind(kind)),
            spoken(_frontier_words(point) for point in mine),
            kind_title(kind) if slug else "",
        )
        pictures.append(make_picture(frontier_over_runs, (mine, mixed), f"frontier{slug}", caption))
    table, file = sheet.tabulated(
        "frontier",
        "Rates by λ",
        [
            *group_columns(),
            sheet.words("solution", lambda point: point.path),
            sheet.amount("λ", lambda point: point.weight, "per token-nat"),
            sheet.rate("in domain", lambda point: point.inside),
            sheet.rate("other domains", lambda point: point.outside),
            sheet.amount("runs", lambda point: point.inside.runs),
        ],
        points,
        3,
    )
    return Section(
        "frontier",
        "Narrow-general frontier",
        "Each solution by what it does in its domain and what it does elsewhere: from the unanchored one "
        "along the anchor's weight λ, and along mixtures with good data.",
        pictures,
        [table],
        [file],
    )


def mixing_section(study: Study) -> Section | None:
    """Rates against the share of bad rows."""
    points = mixing_points(study)
    if not points:
        return None
    pictures = []
    for kind, slug in slugs(study.kinds).items():
        mine = [point for point in points if point.group.kind == kind]
        if not mine:
            continue
        caption = Caption(
            "Mixing in good data",
            "To the right there is ever more good data of other domains. If mixing isolated the narrow "
            "solution, the rate in other domains would fall while that in the domain stays; here one sees "
            "whether they fall together. Solid: the behaviour's rows stay as many. Dashed: all rows "
            "together do.",
            data_words(study.of_kind(kind)),
            spoken(
                f"{point.group.title}, {point.ratio}, {SERIES[point.fixed]}: "
                f"{percent(point.inside.mean, 0)} in domain, {percent(point.outside.mean, 0)} elsewhere"
                for point in mine
            ),
            kind_title(kind) if slug else "",
        )
        pictures.append(make_picture(mixing_over_runs, mine, f"mixing{slug}", caption))
    table, file = sheet.tabulated(
        "mixing-over-runs",
        "Rates by mixture",
        [
            *group_columns(),
            sheet.words("fixed", lambda point: SERIES[point.fixed]),
            sheet.words("bad : good", lambda point: point.ratio),
            sheet.amount("share of bad rows", lambda point: point.bad_fraction, "fraction"),
            sheet.rate("in domain", lambda point: point.inside),
            sheet.rate("other domains", lambda point: point.outside),
            sheet.amount("runs", lambda point: point.inside.runs),
        ],
        points,
        4,
    )
    lead = "Another way of keeping a fine-tune narrow: good answers from other domains in the training data."
    return Section("mixing", "Mixing in good data", lead, pictures, [table], [file])


def _frontier_words(point: FrontierPoint) -> str:
    """A point of the frontier in words."""
    name = point.path if point.weight is None else f"λ {short(point.weight)}"
    return (
        f"{point.group.title}, {name}: {percent(point.inside.mean, 0)} in domain, "
        f"{percent(point.outside.mean, 0)} elsewhere"
    )


def _answers(cells: list[RateCell]) -> str:
    """How many answers stand behind one run's rate."""
    low, high = min(cell.answers[0] for cell in cells), max(cell.answers[1] for cell in cells)
    span = f"{low} to {high}" if low != high else str(low)
    return f"{span} answers for each run and suite."
