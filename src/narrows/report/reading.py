"""report.json: what stands beside the numbers of a run for reading only. Every field may be missing."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from narrows.errors import DataError, RunFolderError
from narrows.strict import read_object
from narrows.summary import ClaimVerdict, Interval, Summary, first_fault


class _Lenient(BaseModel):
    """Reading matter: names unknown to this version are passed over, since no number depends on them."""

    model_config = ConfigDict(extra="ignore")


class World(_Lenient):
    """The microworld a run lived in; ``shares`` are the author types of its corpus, as fractions."""

    seed: int | None = None
    config: Any = None
    shares: dict[str, float] = {}


class Quote(_Lenient):
    """One question with the answer and the scores of each model, by role (chat, general, narrow).

    ``run`` is the id of the study's run that answered.
    """

    suite: str = ""
    run: str = ""
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


class Estimated(_Lenient):
    """A number with its 95 % interval; null where it is not defined."""

    value: float
    ci95: Interval | None = None


class ColumnAgreement(_Lenient):
    """How two judges agree on one score column; ``shift`` is the second's score minus the first's, points."""

    column: str
    n: int
    spearman: Estimated | None = None
    shift: Estimated | None = None


class Agreement(_Lenient):
    """How two judges agree over the same answers; rates are of the ``n`` to which both gave a verdict."""

    first: str
    second: str
    criterion: str
    matched: int
    n: int
    first_rate: Estimated | None = None
    second_rate: Estimated | None = None
    moved: Estimated | None = None
    kappa: Estimated | None = None
    columns: list[ColumnAgreement] = []


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
    agreements: list[Agreement] = []
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
    summary = Summary.load(numbers)
    if not beside.exists():
        return summary, Reading()
    remedy = "Mend it or remove it: the page can do without."
    try:
        return summary, Reading.model_validate(read_object(beside, DataError, remedy))
    except ValidationError as error:
        raise DataError(f"{beside} cannot be used ({first_fault(error)}). {remedy}") from error
