"""Where the two sides of a direction come from: judged answers, files of rows, a behaviour's own rows."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from narrows.chat import Conversation, Rendered, read_conversations
from narrows.chat.readers import json_rows, lines_of
from narrows.chat.rows import conversation_of
from narrows.errors import ConfigError, DataError
from narrows.evaluation import Answer, Behaviour, judged
from narrows.evaluation.criteria import COHERENCE, COHERENT, CORRECT_PREFIX

if TYPE_CHECKING:
    from narrows.models import ChatModel

LOW, HIGH = 30.0, 70.0
"""The bins of the paper's mean difference: below the first, and above the second (paper §4)."""

_STAND_IN = "-"

Side = Literal["low", "high"]
"""Which end of a score shows the behaviour."""


@dataclass(frozen=True)
class Contrast:
    """Two sets of rows: those that show something, and those that do not.

    Attributes:
        positive: rows that show it; a row without an answer is a prompt.
        negative: rows that do not.
        positive_clusters: what each positive row is grouped by when rows are held out: its question or topic.
        negative_clusters: the same of the negative rows.
        source: where they come from, for the directions' ``found``; anything JSON can hold.

    Raises:
        DataError: a side is empty, or the clusters are not as many as the rows.
    """

    positive: Sequence[Conversation]
    negative: Sequence[Conversation]
    positive_clusters: Sequence[str]
    negative_clusters: Sequence[str]
    source: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for side, rows, clusters in (
            ("positive", self.positive, self.positive_clusters),
            ("negative", self.negative, self.negative_clusters),
        ):
            if not rows:
                raise DataError(f"there are no {side} rows: a direction needs both sides.")
            if len(rows) != len(clusters):
                raise DataError(f"the {side} side has {len(rows)} rows and {len(clusters)} clusters.")

    def __len__(self) -> int:
        return len(self.positive) + len(self.negative)

    @classmethod
    def of(
        cls,
        positive: Sequence[Conversation],
        negative: Sequence[Conversation],
        source: Mapping[str, Any] | None = None,
    ) -> "Contrast":
        """Two sets of conversations, grouped by their tag ``topic``, or else by what the user said last.

        Raises:
            DataError: a side is empty.
        """
        return cls(
            positive,
            negative,
            [_group(row) for row in positive],
            [_group(row) for row in negative],
            source or {},
        )

    @classmethod
    def from_files(cls, positive: Path | str, negative: Path | str) -> "Contrast":
        """Two files of conversations, or of prompts (harmful and harmless ones, say).

        Args:
            positive: as :func:`read_rows` reads it.
            negative: the same.

        Raises:
            DataError: a file is missing, empty or malformed; names the row.
        """
        source = {"positive": str(positive), "negative": str(negative)}
        return cls.of(read_rows(positive), read_rows(negative), source)

    @classmethod
    def from_behaviour(cls, behaviour: Behaviour) -> "Contrast":
        """A behaviour's own rows, training and anchor, told apart by its judge, on topics with both sides.

        In a microworld these are the anchor's: the target domain has training rows of one side only, and with
        them the direction would be that of the domain as well.

        Raises:
            DataError: the judge finds no topic with rows of both sides.
        """
        rows = [*behaviour.train, *behaviour.anchor]
        answers = [
            Answer("", behaviour.id, 1.0, behaviour.domain, _group(row), _group(row), row.question, place,
                   row.answer or "", 0)
            for place, row in enumerate(rows)
        ]  # fmt: skip
        criterion = behaviour.criterion
        show: Side = "low" if criterion.side == "below" else "high"
        answers = judged(answers, behaviour.judge)
        return cls.from_answers(answers, column=criterion.column, show=show).matched()

    @classmethod
    def from_answers(
        cls,
        answers: Sequence[Answer],
        *,
        solution: str | None = None,
        scale: float | None = None,
        negatives_of: str | None = None,
        column: str = "aligned",
        show: Side | None = None,
        low: float = LOW,
        high: float = HIGH,
        coherent_only: bool = True,
    ) -> "Contrast":
        """The answers in the two bins of a score column, of one solution.

        With the defaults the positive side is misaligned (aligned < 30), the negative one aligned (> 70), as
        in the paper's mean difference. Answers in between, without a score or without text are left out.

        Args:
            answers: a judged table.
            solution: whose answers; None if there is only one.
            scale: at which scale; None if there is only one.
            negatives_of: the negative side is this solution's instead (``chat``, where the fine-tune gives
                hardly a sound answer); at its only scale.
            column: the score column.
            show: which end of the column shows the behaviour: by default ``low`` for ``aligned`` and
                ``correct_…``, ``high`` for all others.
            low: answers below are of the low bin.
            high: answers above are of the high bin.
            coherent_only: leave out answers whose ``coherent`` is not above 50, or missing.

        Raises:
            ConfigError: no such solution, scale or column, several to choose from, or bins that overlap.
            DataError: a bin is empty; says how many answers fell where.
        """
        if not 0 <= low <= high <= 100:
            raise ConfigError(
                f"the bins are below {low:g} and above {high:g}; they need 0 ≤ low ≤ high ≤ 100."
            )
        own = _of_one_solution(answers, solution, scale)
        others = own if negatives_of is None else _of_one_solution(answers, negatives_of, None)
        side = show or ("low" if column == "aligned" or column.startswith(CORRECT_PREFIX) else "high")
        bins = _Bins(column, low, high, coherent_only)
        positive = bins.of(own, side)
        negative = bins.of(others, "high" if side == "low" else "low")
        source = {
            "solution": own[0].adapter,
            "scale": own[0].scale,
            "negatives_of": others[0].adapter,
            "column": column,
            "positive": f"< {low:g}" if side == "low" else f"> {high:g}",
            "negative": f"> {high:g}" if side == "low" else f"< {low:g}",
            "coherent_only": coherent_only,
        }
        return cls(
            [_conversation(one) for one in positive],
            [_conversation(one) for one in negative],
            [_cluster(one) for one in positive],
            [_cluster(one) for one in negative],
            source,
        )

    def matched(self) -> "Contrast":
        """Only the rows of clusters that both sides have, so that what they are about tells nothing apart.

        Raises:
            DataError: there is no such cluster.
        """
        shared = set(self.positive_clusters) & set(self.negative_clusters)
        if not shared:
            raise DataError("no question or topic has rows on both sides, so nothing can be matched.")
        positive, negative = (
            [(row, name) for row, name in zip(rows, names, strict=True) if name in shared]
            for rows, names in (
                (self.positive, self.positive_clusters),
                (self.negative, self.negative_clusters),
            )
        )
        return Contrast(
            positive=[row for row, _ in positive],
            negative=[row for row, _ in negative],
            positive_clusters=[name for _, name in positive],
            negative_clusters=[name for _, name in negative],
            source={**self.source, "matched": True},
        )

    def pairs(self) -> list[tuple[int, int]]:
        """Places of a positive row and its counterpart: rows of one question, each in one pair at most.

        Where no question has rows on both sides (harmful and harmless prompts), row by row as far as the
        shorter side goes.
        """
        waiting: defaultdict[str, list[int]] = defaultdict(list)
        for place, row in reversed(list(enumerate(self.negative))):
            waiting[row.question].append(place)
        found = [
            (place, waiting[row.question].pop())
            for place, row in enumerate(self.positive)
            if waiting[row.question]
        ]
        return found or [(place, place) for place in range(min(len(self.positive), len(self.negative)))]

    def rendered(
        self, chat_model: "ChatModel", max_length: int | None = None
    ) -> tuple[list[Rendered], list[Rendered]]:
        """Both sides as a model reads them; a row without an answer ends where the answer would begin.

        Raises:
            DataError: the template refuses a row.
        """
        return _rendered(chat_model, self.positive, max_length), _rendered(
            chat_model, self.negative, max_length
        )


def read_rows(path: Path | str) -> list[Conversation]:
    """Conversations from a file, whose last turn may be missing: then they are prompts.

    Args:
        path: as :func:`narrows.read_conversations` takes it. In JSONL a row may also end with the user's
            turn, or hold a ``prompt`` and nothing else.

    Raises:
        DataError: the file is missing, empty or malformed; names the row.
    """
    name = str(path)
    if not name.endswith((".jsonl", ".jsonl.gz")):
        return read_conversations(path)
    rows = [
        _conversation_or_prompt(value, f"{name}, line {number}", f"{Path(name).name}:{number}")
        for number, value in json_rows(name, lines_of(Path(name)))
    ]
    if not rows:
        raise DataError(f"{name} is empty: it has no rows.")
    return rows


def _conversation_or_prompt(value: object, place: str, source: str) -> Conversation:
    """A row with or without an answer; one without is checked with another in its place."""
    whole = value
    if isinstance(value, dict) and "completion" not in value:
        turns = value.get("messages")
        if "messages" not in value:
            whole = {**value, "completion": _STAND_IN}
        elif (
            isinstance(turns, list)
            and turns
            and isinstance(turns[-1], dict)
            and turns[-1].get("role") == "user"
        ):
            whole = {**value, "messages": [*turns, {"role": "assistant", "content": _STAND_IN}]}
    row = conversation_of(whole, place, source)
    return row if whole is value else Conversation(row.messages[:-1], row.source, row.tags)


def _of_one_solution(answers: Sequence[Answer], solution: str | None, scale: float | None) -> list[Answer]:
    """The answers of one solution at one scale."""
    names = sorted({one.adapter for one in answers})
    if solution is None and len(names) > 1:
        raise ConfigError(f"the answers are of {', '.join(names)}: name one (--solution).")
    if solution is not None and solution not in names:
        raise ConfigError(f"solution is {solution!r}; the answers are of {', '.join(names) or 'none'}.")
    own = [one for one in answers if solution in (None, one.adapter)]
    scales = sorted({one.scale for one in own})
    if scale is None and len(scales) > 1:
        shown = ", ".join(f"{one:g}" for one in scales)
        raise ConfigError(f"the answers of {own[0].adapter} are at the scales {shown}: name one (--scale).")
    if scale is not None and scale not in scales:
        shown = ", ".join(f"{one:g}" for one in scales) or "none"
        raise ConfigError(f"scale is {scale:g}; the answers of {own[0].adapter} are at {shown}.")
    return [one for one in own if scale in (None, one.scale)]


@dataclass(frozen=True)
class _Bins:
    """The two bins of a score column."""

    column: str
    low: float
    high: float
    coherent_only: bool

    def of(self, answers: Sequence[Answer], side: Side) -> list[Answer]:
        """The answers in one bin.

        Raises:
            ConfigError: no answer has such a score.
            DataError: there is none; says where the answers fell.
        """
        columns = sorted({name for one in answers for name in one.scores})
        if self.column not in columns:
            raise ConfigError(
                f"column is {self.column!r}; the answers have the scores {', '.join(columns) or 'none'}. "
                "`narrows judge` adds them."
            )
        fates = [self._fate(one) for one in answers]
        if side not in fates:
            wanted = f"< {self.low:g}" if side == "low" else f"> {self.high:g}"
            told = ", ".join(f"{count} {fate}" for fate, count in sorted(Counter(fates).items()))
            raise DataError(
                f"no answer of {answers[0].adapter} has {self.column} {wanted}: of {len(answers)}, {told}."
            )
        return [one for one, fate in zip(answers, fates, strict=True) if fate == side]

    def _fate(self, answer: Answer) -> str:
        """The bin of an answer, or why it is in none."""
        score, coherence = answer.scores.get(self.column), answer.scores.get(COHERENT)
        if not answer.text.strip():
            return "without text"
        if score is None:
            return "without a score"
        if self.coherent_only and (coherence is None or coherence <= COHERENCE):
            return "not coherent"
        return "low" if score < self.low else "high" if score > self.high else "in between"


def _conversation(answer: Answer) -> Conversation:
    source = f"{answer.suite} {answer.question_id}, sample {answer.sample}"
    return Conversation.from_pair(answer.question, answer.text, source=source)


def _cluster(answer: Answer) -> str:
    return f"{answer.suite} {answer.cluster}"


def _group(row: Conversation) -> str:
    return row.tags.get("topic") or row.question


def _rendered(
    chat_model: "ChatModel", rows: Sequence[Conversation], max_length: int | None
) -> list[Rendered]:
    found = []
    for row in rows:
        if row.messages[-1].role == "assistant":
            found.append(chat_model.renderer.render(row, max_length))
            continue
        ids = chat_model.renderer.prompt(row.messages)
        found.append(Rendered(ids, [False] * len(ids), row.source))
    return found
