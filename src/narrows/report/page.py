"""The page: one self-contained HTML file and its figures, written from a run folder."""

import hashlib
from base64 import b64encode
from pathlib import Path

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from narrows.errors import DataError
from narrows.files import write_text
from narrows.report import tables, text
from narrows.report.claims import SIGNS, claim_groups, verdict_tally
from narrows.report.reading import Quote, load_run
from narrows.report.sections import judges_section, measured_sections
from narrows.report.turntable import script
from narrows.strict import one_line

ROLES = ("chat", "general", "narrow")


def write_report(folder: Path) -> Path:
    """Write ``report.html`` and ``figures/*.svg`` into a run folder, each atomically; return the path.

    The page holds everything it needs: it opens offline and fetches nothing. The only script that may run is
    the one that turns trajectories, admitted by its hash where there is one to turn.

    Raises:
        RunFolderError: the folder holds no summary, or cannot be written.
        DataError: ``summary.json`` or ``report.json`` is not what it should be.
    """
    folder = Path(folder)
    summary, reading = load_run(folder)
    try:
        sections = measured_sections(summary)
        if judges := judges_section(reading):
            sections.append(judges)
    except (ArithmeticError, ValueError) as error:  # numbers near the end of all numbers
        raise DataError(
            f"{folder / 'summary.json'} holds numbers that cannot be drawn ({one_line(error)})."
        ) from error
    turns = any(picture.view for section in sections for picture in section.pictures)
    page = (
        _environment()
        .get_template("page.html.jinja")
        .render(
            summary=summary,
            reading=reading,
            claims=claim_groups(summary, reading),
            tally=verdict_tally(summary),
            sections=sections,
            quotes=[_ordered(quote) for quote in reading.quotes],
            solutions=tables.solutions_table(summary),
            paper=tables.paper_table(reading),
            timings=tables.timings_table(summary),
            versions=tables.versions_table(reading),
            config=_as_yaml(reading.config),
            world_config=_as_yaml(reading.world.config if reading.world else None),
            script=script() if turns else "",
            script_hash=_policy_hash(script()),
        )
    )
    for section in sections:
        for picture in section.pictures:
            write_text(folder / "figures" / f"{picture.name}.svg", picture.standalone + "\n")
    path = folder / "report.html"
    write_text(path, page)
    return path


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
    environment.globals |= {"signs": SIGNS, "estimate": text.estimate}
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
