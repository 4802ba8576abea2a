"""A user's own behaviour as material, from files; a language model is the judge."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from narrows.chat import Conversation, read_conversations
from narrows.chat.corpora import SHORTEST, read_texts
from narrows.chat.holdout import hold_out
from narrows.errors import ConfigError, DataError
from narrows.evaluation import Behaviour, Criterion, criterion_of
from narrows.evaluation.llm.judge import LLMJudge
from narrows.evaluation.llm.rubrics import Rubric, rubrics_of
from narrows.files import digest
from narrows.study.config.behaviours import VALIDATION_SHARE, FileBehaviour
from narrows.study.materials.material import Material
from narrows.study.materials.questions import shared_out, suites_of, warn_of_overlap

Read = TypeVar("Read")

FEWEST_TEXTS = 2
"""Texts of each type below which there is no interval over them."""


def file_material(source: FileBehaviour) -> Material:
    """The material of a user's behaviour.

    Rows that are held out become the questions of the suite ``in_domain``. A seeded share of every suite's
    questions, cluster by cluster, is for choosing λ and a direction; the others are the test.

    Raises:
        DataError: a file is missing or malformed, no suite asks about the domain, or a suite has too few
            questions to be shared out; names the behaviour, the field and the file.
        ConfigError: there is no such suite, or no rubric for a score that the criterion needs.
    """
    train: Sequence[Conversation] = _rows(source, "train", source.train)
    held: Sequence[Conversation] = ()
    with _said(source, "hold_out"):
        if source.hold_out:
            train, held = hold_out(train, source.hold_out, seed=source.seed)
    with _said(source, "questions"):
        suites = suites_of(source, held)
        share = VALIDATION_SHARE if source.validation_share is None else source.validation_share
        validation, test = shared_out(suites, share, source.seed)
    warn_of_overlap(source, suites, train)
    criterion = criterion_of(source.criterion)
    judge = LLMJudge(source.judge, _rubrics(source, criterion))
    return Material(
        Behaviour(
            id=source.id,
            kind=source.kind,
            domain=source.domain,
            train=train,
            anchor=_rows(source, "anchor", source.anchor),
            validation=validation,
            test=test,
            criterion=criterion,
            judge=judge,
        ),
        judge_identity=digest([judge.identity, criterion.name]),
        texts=_texts(source),
        neutral=_neutral(source),
        good=_rows(source, "good", source.good) if source.good else (),
    )


def _rows(source: FileBehaviour, name: str, place: str) -> list[Conversation]:
    """The chats of a field."""
    return _field(source, name, lambda: read_conversations(place))


def _texts(source: FileBehaviour) -> dict[str, list[str]]:
    """The ordinary texts by type; none if none are given."""
    place = source.texts
    if place is None:
        return {}
    texts = _field(source, "texts", lambda: read_texts(place, count=source.texts_count))
    for kind, some in texts.items():
        if len(some) < FEWEST_TEXTS:
            raise DataError(
                f"behaviour {source.id!r}, texts: {place} has {len(some)} text of type {kind!r} with more "
                f"than {SHORTEST} characters, and an interval needs {FEWEST_TEXTS}: give more, or leave "
                "texts out."
            )
    return texts


def _neutral(source: FileBehaviour) -> list[str]:
    """The texts of the neutral anchor, whatever their type."""
    place = source.neutral
    if place is None:
        return []
    found = _field(source, "neutral", lambda: read_texts(place, count=None, shortest=0))
    return [text for some in found.values() for text in some]


def _rubrics(source: FileBehaviour, criterion: Criterion) -> list[Rubric]:
    """A rubric for each score that the criterion needs."""
    file = Path(source.rubrics) if source.rubrics else None
    with _said(source, "rubrics"):
        try:
            return rubrics_of(criterion.columns, file)
        except ConfigError as error:
            place = f"{file} " if file else "rubrics "
            raise ConfigError(
                f"{error} The criterion {source.criterion!r} needs {' and '.join(criterion.columns)}: let "
                f"{place}say what the judge is asked for each that is not shipped."
            ) from error


def _field(source: FileBehaviour, name: str, read: Callable[[], Read]) -> Read:
    """What a field's file holds; errors say which behaviour's and which field's it is."""
    with _said(source, name):
        return read()


@contextmanager
def _said(source: FileBehaviour, name: str) -> Iterator[None]:
    """Put the behaviour and the field before what an error says."""
    try:
        yield
    except (DataError, ConfigError) as error:
        raise type(error)(f"behaviour {source.id!r}, {name}: {error}") from error
