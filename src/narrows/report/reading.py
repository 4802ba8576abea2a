"""report.json: what stands beside the numbers of a run for reading only. Every field may be missing."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from narrows.errors import DataError, RunFolderError
from narrows.files import read_json
from narrows.summary import ClaimVerdict, Interval, Summary


class _Lenient(BaseModel):
    """Reading matter: names unknown to this version are passed over, since no number depends on them."""

    model_config = ConfigDict(extra="ignore")


class World(_Lenient):
    """The microworld a run lived in; ``shares`` are the author types of its corpus, as fractions."""

    seed: int | None = None
    config: Any = None
    shares: dict[str, float] = {}


class Quote(_Lenient):
    """One question with the answer and the scores of each model, by role (chat, general, narrow)."""

    suite: str = ""
    question: str
    answers: dict[str, str]
    scores: dict[str, dict[str, Any]] = {}


class ClaimPart(_Lenient):
    """One of the comparisons behind a claim's verdict, or a control shown beside it."""

    name: str
    estimate: float | None = None
    ci95: Interval | None = None
    margin: float | None = None
    rule: str = ""
    verdict: ClaimVerdict | None = None
    unit: str = ""


class PaperNumber(_Lenient):
    """A number reported by the paper, with what it is."""

    what: str
    value: str | float


class Reading(_Lenient):
    """All of report.json."""

    title: str = "Narrow and general solutions"
    command: str = ""
    generated: str = ""
    intro: str = ""
    world: World | None = None
    quotes: list[Quote] = []
    claim_parts: dict[str, list[ClaimPart]] = {}
    paper_numbers: list[PaperNumber] = []
    config: dict[str, Any] = {}
    versions: dict[str, Any] = {}
    notes: list[str] = []


def load_run(folder: Path) -> tuple[Summary, Reading]:
    """Read a run folder's ``summary.json`` and, where there is one, the ``report.json`` beside it.

    Raises:
        RunFolderError: the folder holds no summary.
        DataError: one of the files is not what it should be; the message names the file and the field.
    """
    numbers, beside = Path(folder) / "summary.json", Path(folder) / "report.json"
    if not numbers.is_file():
        raise RunFolderError(
            f"{numbers} does not exist: there is nothing to report. Give the folder of a finished run."
        )
    try:
        summary = Summary.load(numbers)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{numbers} is not a summary of schema 1 ({_first_fault(error)}).") from error
    if not beside.is_file():
        return summary, Reading()
    try:
        return summary, Reading.model_validate(read_json(beside))
    except ValueError as error:
        raise DataError(
            f"{beside} cannot be used ({_first_fault(error)}). Mend it or remove it: the page can do without."
        ) from error


def _first_fault(error: Exception) -> str:
    """The first thing wrong in a file: the field and what was expected of it, or where the JSON breaks."""
    if isinstance(error, ValidationError):
        fault = error.errors()[0]
        return f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}; {error.error_count()} in all"
    if isinstance(error, KeyError):
        return f"the field {error} is missing"
    return str(error)
