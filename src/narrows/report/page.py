"""The page: one self-contained HTML file and its figures, written from a run folder."""

import hashlib
from base64 import b64encode
from pathlib import Path

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from narrows.errors import DataError
from narrows.files import atomic_path
from narrows.report import tables, text
from narrows.report.claims import SIGNS, claim_groups, verdict_tally
from narrows.report.facts import page_facts
from narrows.report.over_runs import Study, several_runs
from narrows.report.paper import MAIN_MODEL
from narrows.report.pooled import own_words, pooled_blocks, pooled_tally
from narrows.report.reading import Quote, Reading, load_run
from narrows.report.section import Section
from narrows.report.sections import judges_section, measured_sections
from narrows.report.study_further import runs_table, solutions_over_runs
from narrows.report.summary_sheets import summary_sheets
from narrows.report.tables import Table
from narrows.report.turntable import script
from narrows.strict import one_line
from narrows.summary import Summary

PAGE = "report.html"
ROLES = ("chat", "general", "narrow")
MOST_QUOTES = 60


def write_report(folder: Path) -> Path:
    """Write ``report.html``, ``figures/*.svg``, ``*.pdf`` and ``tables/*.csv`` into a run folder.

    The page holds everything it needs: it opens offline and fetches nothing. The only script that may run is
    the one that turns trajectories, admitted by its hash where there is one to turn.

    Returns:
        The page; every file is written atomically, the page last.

    Raises:
        RunFolderError: the folder holds no summary, or cannot be written.
        DataError: ``summary.json`` or ``report.json`` is not what it should be.
    """
    folder = Path(folder)
    files = rendered(folder)
    for name, content in files.items():
        with atomic_path(folder / name) as temporary:
            temporary.write_bytes(content)
    return folder / PAGE


def rendered(folder: Path) -> dict[str, bytes]:
    """The files of the report by their path within the folder, the page last; nothing is written.

    The same ``summary.json`` and ``report.json`` give the same bytes.

    Raises:
        RunFolderError: the folder holds no summary.
        DataError: ``summary.json`` or ``report.json`` is not what it should be.
    """
    folder = Path(folder)
    summary, reading = load_run(folder)
    try:
        sections = measured_sections(summary)
        if judges := judges_section(reading):
            places = [section.id for section in sections]
            sections.insert(places.index("costs") if "costs" in places else len(places), judges)
    except (ArithmeticError, ValueError) as error:  # numbers near the end of all numbers
        raise DataError(
            f"{folder / 'summary.json'} holds numbers that cannot be drawn ({one_line(error)})."
        ) from error
    study = Study(summary) if several_runs(summary) else None
    solutions = solutions_over_runs(study) if study else (tables.solutions_table(summary), None)
    files: dict[str, bytes] = {}
    for section in sections:
        for picture in section.pictures:
            files[f"figures/{picture.name}.svg"] = (picture.standalone + "\n").encode()
            files[f"figures/{picture.name}.pdf"] = picture.pdf
    sheets = [*summary_sheets(summary), *(one for section in sections for one in section.sheets)]
    for sheet in [*sheets, *([solutions[1]] if solutions[1] else [])]:
        files[f"tables/{sheet.name}.csv"] = sheet.csv()
    files[PAGE] = _page(summary, reading, sections, study, solutions[0]).encode()
    return files


def _page(
    summary: Summary, reading: Reading, sections: list[Section], study: Study | None, solutions: Table
) -> str:
    """The page's text."""
    turns = any(picture.view for section in sections for picture in section.pictures)
    pooled = pooled_blocks(summary) if study else []
    return (
        _environment()
        .get_template("page.html.jinja")
        .render(
            summary=summary,
            reading=reading,
            facts=page_facts(summary, study),
            study=study,
            pooled=pooled,
            claims=[] if pooled else claim_groups(summary, reading),
            tally=pooled_tally(pooled) if pooled else verdict_tally(summary),
            main_model=MAIN_MODEL,
            sections=sections,
            quotes=[_ordered(quote) for quote in reading.quotes[:MOST_QUOTES]],
            quotes_left_out=max(0, len(reading.quotes) - MOST_QUOTES),
            runs=runs_table(study) if study else None,
            solutions=solutions,
            paper=tables.paper_table(reading) if summary.claims or reading.paper_numbers else None,
            timings=tables.timings_table(summary),
            versions=tables.versions_table(reading),
            config=_as_yaml(reading.config),
            world_config=_as_yaml(reading.world.config if reading.world else None),
            script=script() if turns else "",
            script_hash=_policy_hash(script()),
        )
    )


def _policy_hash(source: str) -> str:
    """A script as a content security policy names it."""
    return f"sha256-{b64encode(hashlib.sha256(source.encode()).digest()).decode()}"


def _environment() -> Environment:
    """Templates with escaping always on; every piece of text that enters the page is made visible first."""
    environment = Environment(
        loader=PackageLoader("narrows.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_final,
    )
    environment.filters |= {
        "short": text.short,
        "percent": text.percent,
        "plain": text.plain,
    }
    environment.globals |= {"signs": SIGNS, "estimate": text.estimate, "own": own_words}
    return environment


def _final(value: object) -> object:
    """Foreign text without control characters; markup of our own as it is."""
    return text.visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _ordered(quote: Quote) -> Quote:
    """The quote with its answers in the order chat, general, narrow, then any others."""
    order = [role for role in ROLES if role in quote.answers] + [
        role for role in quote.answers if role not in ROLES
    ]
    return quote.model_copy(update={"answers": {role: quote.answers[role] for role in order}})


def _as_yaml(value: object) -> str:
    """A configuration as a person would write it; empty for an empty one."""
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100) if value else ""
