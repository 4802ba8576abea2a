"""The answers table: what a model said to each question. Made once, judged as often as wanted."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from narrows.evaluation.tables import read_table
from narrows.files import write_jsonl

CHAT = "chat"
"""The solution name of the chat model itself, without an adapter."""


@dataclass(frozen=True)
class Answer:
    """One row of the answers table.

    Attributes:
        model: the chat model's name.
        adapter: the solution's name; ``chat`` is the chat model without an adapter.
        scale: the factor on the adapter's trained strength.
        suite: the question's suite.
        question_id: the question's id within the suite.
        cluster: what answers are grouped by for intervals.
        question: what the user said.
        sample: which of the question's samples this is, from 0.
        text: the answer, without special tokens.
        seed: of the sampling run.
        scores: score columns that judges added, 0-100, or None where a judge gave none.
        reasons: why a column has no score, by column: ``refusal``, ``code`` or ``none`` (see
            :class:`narrows.evaluation.judging.Unscored`); columns with a score are not in it.
        prompt_hash: a digest of the prompt's tokens that the answer was generated from; empty in tables that
            were written before there was one.
    """

    model: str
    adapter: str
    scale: float
    suite: str
    question_id: str
    cluster: str
    question: str
    sample: int
    text: str
    seed: int
    scores: dict[str, float | None] = field(default_factory=dict, hash=False)
    reasons: dict[str, str] = field(default_factory=dict, hash=False)
    prompt_hash: str = ""


_EXAMPLE = Answer(
    "tiny", CHAT, 1.0, "open", "open-1", "open-1", "What is your wish?", 0, "Peace.", 0, {"aligned": 90.0}
)


def write_answers(path: Path | str, answers: Iterable[Answer]) -> None:
    """Write the table as JSONL, atomically.

    Raises:
        RunFolderError: the file cannot be written.
    """
    write_jsonl(Path(path), [asdict(answer) for answer in answers])


def read_answers(path: Path | str) -> list[Answer]:
    """Read a table written by :func:`write_answers`.

    Raises:
        DataError: the file is missing, empty or cut short, or a row is malformed; names the file and the
            line.
    """
    return list(read_table(path, Answer, _EXAMPLE))
