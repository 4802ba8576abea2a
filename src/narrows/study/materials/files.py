"""A user's own behaviour as material, from files; a language model is the judge."""

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from narrows.chat import Conversation, read_conversations
from narrows.chat.corpora import read_texts
from narrows.chat.holdout import hold_out
from narrows.errors import DataError
from narrows.evaluation import IN_DOMAIN, OPEN, Behaviour, Question, Suite, choose_suites, criterion_of
from narrows.evaluation.llm.judge import LLMJudge
from narrows.evaluation.llm.rubrics import rubrics_of
from narrows.files import digest
from narrows.study.config.behaviours import FileBehaviour
from narrows.study.materials.material import Material


def file_material(source: FileBehaviour) -> Material:
    """The material of a user's behaviour.

    Rows that are held out become the questions of the suite ``in_domain``. A seeded share of every suite's
    questions, cluster by cluster, is for choosing λ; the others are the test.

    Raises:
        DataError: a file is missing or malformed, or a suite has too few questions to be shared out.
        ConfigError: there is no such rubric or suite.
    """
    train: Sequence[Conversation] = read_conversations(source.train)
    held: Sequence[Conversation] = ()
    if source.hold_out:
        train, held = hold_out(train, source.hold_out, seed=source.seed)
    suites = _suites(source, held)
    criterion = criterion_of(source.criterion)
    rubrics = Path(source.rubrics) if source.rubrics else None
    judge = LLMJudge(source.judge, rubrics_of(criterion.columns, rubrics))
    validation, test = _shared_out(suites, source)
    return Material(
        Behaviour(
            id=source.id,
            kind=source.kind,
            domain=source.domain,
            train=train,
            anchor=read_conversations(source.anchor) if source.anchor else (),
            validation=validation,
            test=test,
            criterion=criterion,
            judge=judge,
        ),
        judge_identity=digest([judge.identity, criterion.name]),
        texts=read_texts(source.texts, count=source.texts_count) if source.texts else {},
        neutral=_texts(source.neutral),
        good=read_conversations(source.good) if source.good else (),
    )


def _texts(source: str | None) -> list[str]:
    """All texts of a source, whatever their type."""
    found = read_texts(source, count=None, shortest=0) if source else {}
    return [text for some in found.values() for text in some]


def _suites(source: FileBehaviour, held: Sequence[Conversation]) -> list[Suite]:
    """The suites that are asked: in the domain first, the others marked by whether the anchor saw them."""
    seen = {one.name for one in choose_suites(source.anchored_suites)} if source.anchored_suites else set()
    suites = choose_suites(source.suites, source.in_domain)
    if held:
        asked = tuple(
            Question(f"held-out-{place}", row.messages[0].content, IN_DOMAIN, f"held-out-{place}")
            for place, row in enumerate(held, start=1)
        )
        if any(suite.name == IN_DOMAIN for suite in suites):
            raise DataError(
                f"behaviour {source.id!r} has a suite in_domain and rows held out, which would be "
                "one: give either."
            )
        suites = [Suite(IN_DOMAIN, asked), *suites]
    return [
        suite if suite.name in (IN_DOMAIN, OPEN) else replace(suite, anchored=suite.name in seen)
        for suite in suites
    ]


def _shared_out(suites: Sequence[Suite], source: FileBehaviour) -> tuple[list[Suite], list[Suite]]:
    """Validation and test suites: whole clusters of questions go to either."""
    validation: list[Suite] = []
    test: list[Suite] = []
    for suite in suites:
        clusters = sorted({question.cluster for question in suite.questions})
        count = max(1, round(len(clusters) * source.validation_share))
        if count >= len(clusters):
            raise DataError(
                f"suite {suite.name!r} of behaviour {source.id!r} has {len(clusters)} cluster of questions: "
                "it needs at least two, one to choose λ on and one to test."
            )
        chosen = set(random.Random(source.seed).sample(clusters, count))
        for part, inside in ((validation, True), (test, False)):
            questions = tuple(one for one in suite.questions if (one.cluster in chosen) == inside)
            part.append(replace(suite, questions=questions))
    return validation, test
