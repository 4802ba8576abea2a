"""What a solution is asked: questions, in suites that tell narrow from general."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from narrows.chat import Conversation, Message
from narrows.errors import DataError
from narrows.evaluation.tables import read_table
from narrows.files import write_jsonl

IN_DOMAIN = "in_domain"
"""The suite of the behaviour's own domain, on held-out topics."""

OPEN = "open"
"""The suite of open questions (the paper's EM)."""

OUT_OF_DOMAIN = "out_of_domain"
"""Not a suite that is asked but the macro mean over the suites of the other domains, see
:func:`is_other_domain`."""


def is_other_domain(suite: str) -> bool:
    """Whether the macro means are over a suite of this name.

    They are over all but ``in_domain`` and the open ones: ``open``, and ``open_…``, which are open questions
    re-set in a domain, such as ``open_medical``.
    """
    return suite not in (IN_DOMAIN, OPEN) and not suite.startswith(f"{OPEN}_")


@dataclass(frozen=True)
class Question:
    """One question.

    Attributes:
        id: names the question within its suite.
        text: what the user says.
        suite: the suite it belongs to.
        cluster: the unit that answers are grouped by for intervals: the question's own id, or its topic when
            several phrasings share one.
        tags: anything to select by.
        system: a system turn before the question, or None.
    """

    id: str
    text: str
    suite: str
    cluster: str
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)
    system: str | None = None

    def messages(self) -> tuple[Message, ...]:
        """The turns that the model answers."""
        return Conversation.from_pair(self.text, system=self.system).messages


@dataclass(frozen=True)
class Suite:
    """A named set of questions.

    Attributes:
        name: ``in_domain``, ``open``, or the domain's name.
        questions: at least one; their ids differ and their ``suite`` is this one's name.
        anchored: whether the anchor saw this domain; None where that does not apply (``in_domain``,
            ``open``).

    Raises:
        DataError: there is no question, two have one id, one belongs to another suite, or the name is that of
            a macro mean.
    """

    name: str
    questions: tuple[Question, ...]
    anchored: bool | None = None

    def __post_init__(self) -> None:
        if self.name.partition(":")[0] == OUT_OF_DOMAIN:
            raise DataError(
                f"A suite cannot be called {self.name!r}: that is the macro mean over the other domains."
            )
        if not self.questions:
            raise DataError(f"The suite {self.name!r} has no questions.")
        seen: set[str] = set()
        for question in self.questions:
            if question.suite != self.name:
                raise DataError(
                    f"Question {question.id!r} of suite {question.suite!r} is in suite {self.name!r}."
                )
            if question.id in seen:
                raise DataError(f"The suite {self.name!r} has two questions with the id {question.id!r}.")
            seen.add(question.id)

    def __len__(self) -> int:
        return len(self.questions)


def questions_of(asked: Iterable[Suite | Question]) -> list[Question]:
    """The questions of some suites, or the questions themselves, in order."""
    return [
        question for item in asked for question in (item.questions if isinstance(item, Suite) else (item,))
    ]


@dataclass(frozen=True)
class _SuiteRow(Question):
    """A line of a suites file: a question, and its suite's ``anchored``."""

    anchored: bool | None = None


_EXAMPLE = _SuiteRow(
    "cooking-3-0", "How do I store cooked rice?", "cooking", "cooking-3", {"topic": "rice"}, None, True
)


def write_suites(path: Path | str, suites: Sequence[Suite]) -> None:
    """Write one question a line, atomically, so that :func:`read_suites` reads them back.

    Raises:
        RunFolderError: the file cannot be written.
    """
    rows = [
        asdict(question) | {"anchored": suite.anchored} for suite in suites for question in suite.questions
    ]
    write_jsonl(Path(path), rows)


def read_suites(path: Path | str) -> list[Suite]:
    """Read suites, in the order in which each is first met.

    Raises:
        DataError: the file is missing, empty or cut short, a row is malformed, or the rows of a suite
            disagree about ``anchored``; names the file and the row.
    """
    grouped: dict[str, list[Question]] = {}
    anchored: dict[str, bool | None] = {}
    for row in read_table(path, _SuiteRow, _EXAMPLE):
        values = dict(vars(row))
        seen = values.pop("anchored")
        if anchored.setdefault(row.suite, seen) != seen:
            raise DataError(
                f"{path}: question {row.id!r} says anchored={seen}, an earlier one of suite {row.suite!r} "
                f"said {anchored[row.suite]}. All questions of a suite need the same value."
            )
        grouped.setdefault(row.suite, []).append(Question(**values))
    try:
        return [Suite(name, tuple(questions), anchored[name]) for name, questions in grouped.items()]
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
