"""Which behaviours a study teaches: a microworld's, or a user's own from files."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from narrows.evaluation.criteria import criterion_of
from narrows.evaluation.llm.config import JudgeConfig
from narrows.microworld.behaviours import Kind
from narrows.study.config.base import Entry, OneOrMore


class WorldBehaviours(Entry):
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


class FileBehaviour(Entry):
    """A user's own behaviour, from files.

    Paths are relative to the study file. Rows are read as everywhere: JSONL chats, Parquet, protected
    archives, ``hub:`` names. Questions are shipped suites by name, or files.
    """

    id: str = Field(pattern=r"^[\w.-]+$", description="short name, used in ids and files")
    domain: str = Field(min_length=1, description="where it is taught")
    kind: str = Field(min_length=1, description="what is taught, in a word")
    train: str = Field(description="the training rows")
    hold_out: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of the training rows whose questions are asked instead of trained on",
    )
    anchor: str | None = Field(None, description="rows outside the domain, for the anchor")
    good: str | None = Field(None, description="good rows of other domains, for mixtures")
    in_domain: str | None = Field(
        None, description="the suite or file that asks about the domain (null: the rows held out)"
    )
    suites: Annotated[tuple[str, ...], OneOrMore] = Field(
        ("open",), description="suites of other domains, and the open one: names or files"
    )
    anchored_suites: Annotated[tuple[str, ...], OneOrMore] = Field(
        (), description="which of them the anchor's rows touch"
    )
    validation_share: float = Field(
        0.25, gt=0, lt=1, description="share of each suite's questions kept for choosing λ"
    )
    criterion: str = Field(
        "misaligned", description="which scores count: misaligned, technical, 'score<30' …"
    )
    judge: JudgeConfig = Field(description="the language model that scores answers")
    rubrics: str | None = Field(None, description="rubrics that win over the shipped ones: a YAML file")
    texts: str | None = Field(None, description="ordinary texts for significance, .txt or JSONL")
    texts_count: int = Field(100, ge=2, description="how many of them are read")
    neutral: str | None = Field(
        None, description="texts without the behaviour's subject, for the neutral anchor (null: left out)"
    )
    seed: int = Field(0, ge=0, description="draws what is held out")

    @model_validator(mode="after")
    def _has_questions(self) -> "FileBehaviour":
        criterion_of(self.criterion)
        if self.in_domain is None and not self.hold_out:
            raise ValueError(
                "give in_domain, or a share of the rows to hold_out, to have questions in the domain"
            )
        return self

    def beside(self, folder: Path) -> "FileBehaviour":
        """The same with paths from a folder, where they are files there."""
        changes: dict[str, Any] = {}
        for name in ("train", "anchor", "good", "in_domain", "rubrics", "texts", "neutral"):
            value = getattr(self, name)
            if value is not None:
                changes[name] = _from(folder, value)
        changes["suites"] = tuple(_from(folder, one) for one in self.suites)
        changes["anchored_suites"] = tuple(_from(folder, one) for one in self.anchored_suites)
        return self.model_copy(update=changes)


def _from(folder: Path, text: str) -> str:
    """A path relative to a folder, also behind ``NAME=`` or before ``::``; anything else as it is."""
    name, equals, path = text.partition("=")
    path, prefix = (path, f"{name}=") if equals and "/" not in name else (text, "")
    file, member, inside = path.partition("::")
    if (folder / file).exists():
        return f"{prefix}{folder / file}{member}{inside}"
    return text


class BehaviourEntry(Entry):
    """One entry of ``behaviours``: a microworld's, or a user's."""

    world: WorldBehaviours | None = Field(None, description="behaviours of a microworld")
    files: FileBehaviour | None = Field(None, description="a behaviour of one's own")

    @model_validator(mode="after")
    def _one_of_them(self) -> "BehaviourEntry":
        if (self.world is None) == (self.files is None):
            raise ValueError("each behaviour is either `world:` or `files:`")
        return self
