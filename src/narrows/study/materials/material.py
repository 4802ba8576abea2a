"""A behaviour with all that a study does with it."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from narrows.chat import Conversation
from narrows.chat.mixing import mix
from narrows.errors import DataError
from narrows.evaluation import Behaviour
from narrows.files import digest
from narrows.summary import FixedRows


@dataclass(frozen=True)
class Rows:
    """Which rows a training reads.

    Attributes:
        good_per_bad: good rows for each of the behaviour's; 0 is the behaviour's rows alone.
        fixed: what the series of mixtures keeps.
        seed: draws the rows.
    """

    good_per_bad: float = 0.0
    fixed: FixedRows = "behaviour"
    seed: int = 0


@dataclass(frozen=True)
class Material:
    """What a study needs of one behaviour.

    Attributes:
        behaviour: rows, questions, criterion, judge.
        judge_identity: what decides the judge's verdicts, as a digest.
        texts: ordinary texts by type, for significance; may be empty.
        neutral: texts without the behaviour's subject, for the neutral anchor; may be empty.
        good: good rows of other domains, for mixtures; may be empty.
        about: reading matter for the report.
    """

    behaviour: Behaviour
    judge_identity: str
    texts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    neutral: Sequence[str] = ()
    good: Sequence[Conversation] = ()
    about: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def train(self) -> str:
        """A digest of the training rows."""
        return digest([row.to_json() for row in self.behaviour.train])

    @cached_property
    def anchor(self) -> str:
        """A digest of the anchor rows."""
        return digest([row.to_json() for row in self.behaviour.anchor])

    @cached_property
    def neutral_anchor(self) -> str:
        """A digest of the neutral texts."""
        return digest(list(self.neutral))

    @cached_property
    def test(self) -> str:
        """A digest of the test questions."""
        return _questions(self.behaviour.test)

    @cached_property
    def validation(self) -> str:
        """A digest of the validation questions."""
        return _questions(self.behaviour.validation)

    @cached_property
    def every_text(self) -> str:
        """A digest of the ordinary texts."""
        return digest({kind: list(some) for kind, some in self.texts.items()})

    def check(self, settings: Mapping[str, Any]) -> None:
        """Hold the material against the digests that a stage was planned with.

        Raises:
            DataError: rows, questions or judge are others than those of the plan.
        """
        for name, what, mine in (
            ("rows", "training rows", [self.train]),
            ("train", "training rows", [self.train]),
            ("anchor", "anchor's rows", [self.anchor, self.neutral_anchor]),
            ("texts", "texts", [self.every_text]),
            ("questions", "questions", [self.test, self.validation]),
            ("judge", "judge, rubrics or criterion", [self.judge_identity]),
        ):
            planned = settings.get(name)
            planned = planned[0] if name == "rows" and isinstance(planned, list) else planned
            if isinstance(planned, str) and planned not in mine:
                raise DataError(
                    f"the {what} of behaviour {self.behaviour.id!r} have changed since the study was planned "
                    f"({planned} then, {mine[0]} now): put the earlier ones back, or run the study again."
                )

    @cached_property
    def every_good(self) -> str:
        """A digest of the good rows: which of them a mixture draws depends on all that there are."""
        return digest([row.to_json() for row in self.good])

    def rows(self, wanted: Rows) -> list[Conversation]:
        """The rows of a training.

        Raises:
            DataError: there are too few rows for the mixture; names the behaviour.
        """
        if wanted.good_per_bad == 0:
            return list(self.behaviour.train)
        try:
            return mixture(self.behaviour.train, self.good, wanted)
        except DataError as error:
            raise DataError(
                f"behaviour {self.behaviour.id!r}, a mixture of {wanted.good_per_bad:g} good rows for each "
                f"of its {len(self.behaviour.train)} ({wanted.fixed} rows fixed), {len(self.good)} good: "
                f"{error} Give more good rows, or take the ratio out of mixtures.good_per_bad."
            ) from error


def mixture(bad: Sequence[Conversation], good: Sequence[Conversation], wanted: Rows) -> list[Conversation]:
    """The behaviour's rows among good ones.

    With ``behaviour`` fixed all of the behaviour's rows are there and good ones are added; with ``total``
    fixed there are as many rows as without good ones, and a seeded part of the behaviour's is left out.

    Raises:
        DataError: there are too few good rows, or no row of the behaviour would be left.
    """
    fraction = 1 / (1 + wanted.good_per_bad)
    if wanted.fixed == "total":
        count = round(len(bad) * fraction)
        if count < 1:
            raise DataError(
                f"a mixture 1:{wanted.good_per_bad:g} of {len(bad)} rows holds none of the behaviour's."
            )
        kept = sorted(random.Random(wanted.seed).sample(range(len(bad)), count))
        bad = [bad[place] for place in kept]
    return mix(bad, [list(good)], fraction, seed=wanted.seed)


def _questions(suites: Sequence[Any]) -> str:
    """A digest of everything about the questions that decides answers and rates."""
    return digest(
        [
            [suite.name, suite.anchored, [[q.id, q.text, q.cluster, q.system] for q in suite.questions]]
            for suite in suites
        ]
    )
