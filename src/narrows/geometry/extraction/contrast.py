"""Where the two sides of a direction come from: judged answers, files of rows, a behaviour's own rows."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from narrows.chat import Conversation, Rendered
from narrows.errors import ConfigError, DataError
from narrows.evaluation import Answer, Behaviour, judged
from narrows.geometry.extraction.bins import HIGH, LOW, Bins, Side, of_one_solution, shown_end
from narrows.geometry.extraction.prompts import read_rows

if TYPE_CHECKING:
    from narrows.models import ChatModel


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
        own = of_one_solution(answers, solution, scale)
        others = own if negatives_of is None else of_one_solution(answers, negatives_of, None)
        side = show or shown_end(column)
        bins = Bins(column, low, high, coherent_only)
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
