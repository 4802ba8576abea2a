"""Which behaviours a study teaches: a microworld's, or a user's own from files."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from narrows.chat.sources import HUB
from narrows.configuration import Configuration
from narrows.errors import ConfigError
from narrows.evaluation.criteria import criterion_of
from narrows.evaluation.llm.config import JudgeConfig
from narrows.evaluation.suites.shipped import GROUPS, NAMES
from narrows.microworld.behaviours import Kind
from narrows.study.config.expanding import OneOrMore


class WorldBehaviours(Configuration):
    """Behaviours of the microworld that a model was pre-trained on: each domain with each kind."""

    domains: Annotated[tuple[str, ...], OneOrMore] = Field(
        min_length=1, description="target domains; expands"
    )
    kinds: Annotated[tuple[Kind, ...], OneOrMore] = Field(
        ("harmful",), min_length=1, description="harmful advice, technical register; expands"
    )
    phrasings: int = Field(6, ge=1, description="question phrasings used in the suites")
    texts_per_kind: int = Field(8, ge=1, description="documents of each kind whose KL is measured")
    seed: int = Field(0, ge=0, description="draws the rows, and which domains are anchored")


VALIDATION_SHARE = 0.25
"""Share of the questions kept for choosing, where the file does not say and something is to be chosen."""

PATHS = ("train", "anchor", "good", "rubrics", "texts", "neutral")
"""Fields that always name a file, or a dataset on the hub."""


class FileBehaviour(Configuration):
    """A user's own behaviour, from files.

    Paths are relative to the study file. Rows are read as everywhere: JSONL chats, Parquet, protected
    archives, ``hub:`` names. Questions are shipped suites by name, or files; what is called ``in_domain``
    asks about the domain, ``open`` and ``open_…`` are open questions, and all others are other domains.
    """

    id: str = Field(pattern=r"^[\w.-]+$", description="short name, used in ids and files")
    domain: str = Field(min_length=1, description="where it is taught")
    kind: str = Field(min_length=1, description="what is taught, in a word")
    train: str = Field(min_length=1, description="the training rows")
    hold_out: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of the training rows whose questions are asked instead of trained on",
    )
    anchor: str = Field(min_length=1, description="rows outside the domain, for the anchor")
    good: str | None = Field(None, description="good rows of other domains, for mixtures")
    in_domain: str | None = Field(
        None,
        description="the suite or file that asks about the domain (null: the rows held out, or a suite of "
        "that name among `suites`)",
    )
    suites: Annotated[tuple[str, ...], OneOrMore] = Field(
        ("open",), description="suites of other domains, and the open one: names or files"
    )
    anchored_suites: Annotated[tuple[str, ...], OneOrMore] = Field(
        (), description="which of them the anchor's rows touch, by what they are called"
    )
    validation_share: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="share of each suite's questions that are kept for choosing λ and for finding C10's "
        f"direction (null: {VALIDATION_SHARE} where one of the two is done, else 0: all are the test)",
    )
    criterion: str = Field(
        "misaligned", description="which scores count: misaligned, technical, 'score<30' …"
    )
    judge: JudgeConfig = Field(description="the language model that scores answers")
    rubrics: str | None = Field(None, description="rubrics that win over the shipped ones: a YAML file")
    texts: str | None = Field(None, description="ordinary texts for significance, .txt or JSONL")
    texts_count: int = Field(100, ge=2, description="how many of them are read, of each type")
    neutral: str | None = Field(
        None, description="texts without the behaviour's subject, for the neutral anchor (null: left out)"
    )
    seed: int = Field(0, ge=0, description="draws what is held out")

    @field_validator("criterion")
    @classmethod
    def _understood(cls, criterion: str) -> str:
        try:
            criterion_of(criterion)
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return criterion

    @model_validator(mode="after")
    def _one_source_of_questions(self) -> "FileBehaviour":
        if self.in_domain is not None and self.hold_out:
            raise ValueError(
                "in_domain and hold_out both give questions about the domain: leave one of them out"
            )
        return self

    def beside(self, folder: Path) -> "FileBehaviour":
        """The same with paths from a folder, but for the names of shipped suites and of datasets."""
        changes: dict[str, Any] = {}
        for name in PATHS:
            value = getattr(self, name)
            if value is not None and not value.startswith(HUB):
                changes[name] = str(folder / value)
        if self.in_domain is not None:
            changes["in_domain"] = _suite_from(folder, self.in_domain)
        changes["suites"] = tuple(_suite_from(folder, one) for one in self.suites)
        changes["anchored_suites"] = tuple(_suite_from(folder, one) for one in self.anchored_suites)
        return self.model_copy(update=changes)

    def sharing_out(self, *, wanted: bool) -> "FileBehaviour":
        """The same with its share of validation questions settled.

        Args:
            wanted: whether something is chosen on them.
        """
        if self.validation_share is not None:
            return self
        return self.model_copy(update={"validation_share": VALIDATION_SHARE if wanted else 0.0})

    @property
    def stamps(self) -> list[tuple[str, int, int]]:
        """Size and time of the files that it is read from, by which a changed one is noticed."""
        places = [getattr(self, name) for name in PATHS] + [self.in_domain, *self.suites]
        files = {Path(_parts(one)[1]) for one in places if one is not None and not one.startswith(HUB)}
        facts = [(str(file), file.stat()) for file in sorted(files) if file.is_file()]
        return [(name, fact.st_size, fact.st_mtime_ns) for name, fact in facts]


def _suite_from(folder: Path, text: str) -> str:
    """What names a suite, with the path from a folder if it is a file's, also behind ``NAME=``."""
    if text in NAMES or text in GROUPS or text.startswith(HUB):
        return text
    called, file, member = _parts(text)
    if "." not in file and "/" not in file and not (folder / file).exists():
        return text  # a name: of a suite, or a slip that is found when suites are read
    return f"{called}{folder / file}{member}"


def _parts(text: str) -> tuple[str, str, str]:
    """What stands before a file (``NAME=``), the file, and what stands after it (``::MEMBER``)."""
    name, equals, rest = text.partition("=")
    named = bool(equals and name) and "/" not in name
    file, member, inside = (rest if named else text).partition("::")
    return (f"{name}=" if named else ""), file, f"{member}{inside}"


class BehaviourEntry(Configuration):
    """One entry of ``behaviours``: a microworld's, or a user's."""

    world: WorldBehaviours | None = Field(None, description="behaviours of a microworld")
    files: FileBehaviour | None = Field(None, description="a behaviour of one's own")

    @model_validator(mode="after")
    def _one_of_them(self) -> "BehaviourEntry":
        if (self.world is None) == (self.files is None):
            raise ValueError("each behaviour is either `world:` or `files:`")
        return self
