"""A stage: one result of a study, addressed by the hash of what determines it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal, get_args

from narrows.files import digest

Kind = Literal[
    "pretraining",
    "training",
    "answers",
    "verdicts",
    "choice",
    "efficiency",
    "stability",
    "significance",
    "gradients",
    "convergence",
    "authors",
    "author-direction",
    "claims",
]
KINDS: tuple[Kind, ...] = get_args(Kind)

VERSIONS: dict[Kind, int] = dict.fromkeys(KINDS, 1)
"""Counted up when a kind of stage gives other results than before: old results are then not found again."""


@dataclass(frozen=True)
class Stage:
    """One result.

    Attributes:
        kind: what it does.
        title: that in words.
        run: the first run that needs it.
        model: name of the chat model, as the study file has it.
        behaviour: id of the behaviour.
        settings: everything that determines the result beside the inputs, as JSON can hold it; data and
            models stand there as digests.
        inputs: ids of other stages by the part they play.
        source: what is needed to do it and does not determine it further: whence the things come whose
            digests are in ``settings``.
    """

    kind: Kind
    title: str
    run: str
    model: str
    behaviour: str
    settings: Mapping[str, Any]
    inputs: Mapping[str, str] = field(default_factory=dict)
    source: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def id(self) -> str:
        """Kind and hash: equal stages have equal ids, in whichever study they stand."""
        facts = [self.kind, VERSIONS[self.kind], dict(self.settings), dict(self.inputs)]
        return f"{self.kind}-{digest(facts)[:12]}"

    def as_json(self) -> dict[str, Any]:
        """The stage with its id, as files hold it."""
        return {"id": self.id, **asdict(self)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Stage":
        """What :meth:`as_json` gave."""
        return cls(**{name: value for name, value in values.items() if name != "id"})


@dataclass(frozen=True)
class Task:
    """What is done at once: one stage, or the trainings of a bank.

    Attributes:
        stages: one stage, or several trainings that share passes.
    """

    stages: tuple[Stage, ...]

    @property
    def id(self) -> str:
        """The stage's id, or one for the bank."""
        if len(self.stages) == 1:
            return self.stages[0].id
        return f"bank-{digest([one.id for one in self.stages])[:12]}"

    @property
    def title(self) -> str:
        """In words."""
        first, *rest = self.stages
        return first.title if not rest else f"{first.title} and {len(rest)} more in one bank"

    @property
    def needs(self) -> frozenset[str]:
        """Ids of the stages that must be finished before."""
        mine = {one.id for one in self.stages}
        return frozenset(id_ for one in self.stages for id_ in one.inputs.values()) - mine
