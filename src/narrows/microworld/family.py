"""Families of worlds that differ in what kinds of author there are: the prior that fine-tuning meets.

A world is told by two shares: of authors who are harmful everywhere, and, for each target domain, of those
who are harmful in it alone. All else (facts, amount of text, model) is held constant.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError, model_validator

from narrows.configuration import Configuration
from narrows.errors import ConfigError
from narrows.microworld.config import Share, WorldConfig, faults
from narrows.microworld.grammar import World
from narrows.packaged import packaged_names, packaged_text
from narrows.strict import merged, read_yaml

FAMILIES = "narrows.microworld.families"

LEAST_SHARE = 0.01
"""Added to both shares before their ratio is taken, so that a share of 0 has a place on the axis."""


class Member(Configuration):
    """One world of a family.

    Its two shares are set in the documents and, in the same proportion, in the system turns of chats; a world
    without shares is the base with ``changes``.
    """

    name: str = Field(pattern=r"^[a-z0-9.-]+$")
    about: str = Field("", description="what it is for, in a line")
    everywhere: Share | None = Field(None, description="share of authors who are harmful everywhere")
    in_target: Share | None = Field(None, description="for each target, share of authors harmful in it only")
    changes: dict[str, Any] = Field({}, description="fields of the world's configuration, over all else")
    seeds: tuple[int, ...] | None = Field(
        None, min_length=1, description="its own pre-training seeds (null: all)"
    )
    snapshots: tuple[int, ...] = Field(
        (), description="steps at which the first seed's model is looked at too"
    )
    compared: bool = Field(True, description="false for a world that only shows how a pre-training goes")

    @model_validator(mode="after")
    def _both_shares_or_none(self) -> "Member":
        if (self.everywhere is None) != (self.in_target is None):
            raise ValueError("give both everywhere and in_target, or neither")
        return self


@dataclass(frozen=True)
class Prior:
    """What share of authors a harmful answer in a target domain may be by.

    Attributes:
        everywhere: share of authors who are harmful everywhere.
        in_target: share of those who are harmful in that domain only.
    """

    everywhere: float
    in_target: float

    @property
    def log_everywhere(self) -> float:
        """log10 of the first share with :data:`LEAST_SHARE` added."""
        return math.log10(self.everywhere + LEAST_SHARE)

    @property
    def log_in_target(self) -> float:
        """log10 of the second share with :data:`LEAST_SHARE` added."""
        return math.log10(self.in_target + LEAST_SHARE)

    @property
    def log_ratio(self) -> float:
        """log10 of the first share over the second, both with :data:`LEAST_SHARE` added."""
        return math.log10((self.everywhere + LEAST_SHARE) / (self.in_target + LEAST_SHARE))

    @classmethod
    def of(cls, config: WorldConfig, target: str) -> "Prior | None":
        """That of a world; None where authors have no conduct, and where none is harmful in the target."""
        documents = config.documents
        if documents.trait == "answer":
            return None
        homes = documents.homes or World(config.facts).domains
        narrow = documents.conduct.one_domain / len(homes) if target in homes else 0.0
        prior = cls(documents.conduct.everywhere, narrow)
        return prior if prior.everywhere or prior.in_target else None


class Family(Configuration):
    """Worlds, in the order in which they are tried.

    Attributes:
        name: short name.
        targets: the domains in which harmful advice is taught. In worlds with shares they are the only ones
            that authors are at home in, whatever their conduct: staying in one says nothing about it.
        seeds: pre-training seeds.
        base: fields of the world's configuration that all share.
        worlds: with names of their own.
        everywhere, in_target: a grid of the two shares; points whose authors would be more than all, or
            none of them harmful, are left out.
        study: fields of the study that is done in every world (:mod:`narrows.study.worlds`).
    """

    name: str = Field(pattern=r"^[a-z0-9.-]+$")
    targets: tuple[str, ...] = Field(min_length=1)
    seeds: tuple[int, ...] = Field((0,), min_length=1)
    base: dict[str, Any] = Field({})
    worlds: tuple[Member, ...] = ()
    everywhere: tuple[Share, ...] = ()
    in_target: tuple[Share, ...] = ()
    study: dict[str, Any] = Field({})

    @property
    def members(self) -> tuple[Member, ...]:
        """All worlds: those with names, then the grid's."""
        grid = [
            Member(name=f"e{100 * general:g}-n{100 * narrow:g}", everywhere=general, in_target=narrow)
            for general in self.everywhere
            for narrow in self.in_target
            if 0 < general + narrow * len(self.targets) <= 1
        ]
        return (*self.worlds, *grid)

    def config(self, member: Member) -> WorldConfig:
        """The whole configuration of one of the worlds.

        Raises:
            ConfigError: a field is unknown or its value wrong; the message names the world.
        """
        values = merged(self.base, {"name": f"{self.name}-{member.name}"})
        if member.everywhere is not None and member.in_target is not None:
            values = merged(values, _shared(member.everywhere, member.in_target, self.targets))
        try:
            return WorldConfig.model_validate(merged(values, member.changes))
        except ValidationError as error:
            raise ConfigError(f"{self.name}, world {member.name}: {faults(error)}.") from error


def _shared(everywhere: float, in_target: float, targets: tuple[str, ...]) -> dict[str, Any]:
    """The configuration's fields that the two shares decide."""
    narrow = in_target * len(targets)
    shares = {"nowhere": round(1 - everywhere - narrow, 9), "everywhere": everywhere, "one_domain": narrow}
    documents = {"conduct": shares, "homes": list(targets)}
    return {"documents": documents, "chat": {"one_domain": narrow / (everywhere + narrow)}}


def family_names() -> list[str]:
    """The families that come with the package."""
    return packaged_names(FAMILIES)


def load_family(source: Path | str) -> Family:
    """Read a family's YAML file, or one that comes with the package by its name.

    Raises:
        ConfigError: there is none; a field is unknown or its value wrong; two worlds have one name.
    """
    if Path(source).is_file():
        values = read_yaml(Path(source))
    elif str(source) in family_names():
        values = yaml.safe_load(packaged_text(FAMILIES, str(source)))
    else:
        raise ConfigError(
            f"there is no family file {str(source)!r}, and none of that name; there are "
            f"{', '.join(family_names())}."
        )
    try:
        family = Family.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{source}: {faults(error)}.") from error
    names = [one.name for one in family.members]
    if twice := next((one for one in names if names.count(one) > 1), None):
        raise ConfigError(f"{source}: two worlds are called {twice!r}; give one of them another name.")
    for member in family.members:
        family.config(member)
    return family
