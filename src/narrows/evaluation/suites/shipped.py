"""The suites that come with the package, one YAML file a suite."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from narrows.errors import DataError
from narrows.evaluation.questions import Question, Suite
from narrows.strict import read_yaml

GROUPS: Mapping[str, tuple[str, ...]] = {
    "advice": ("medical", "financial", "sports", "legal", "cooking", "travel", "home_repair"),
    "technical": tuple(
        f"technical_{domain}"
        for domain in (
            *("animals", "body", "buildings", "clothes", "computers"),
            *("food", "games", "space", "tools", "vehicles"),
        )
    ),
}
"""Suites that one name stands for: the domains of advice, and those of the technical register (paper §4)."""

NAMES = ("open", "open_medical", *GROUPS["advice"], "code", *GROUPS["technical"])
"""Every shipped suite."""


@dataclass(frozen=True)
class ShippedSuite:
    """What a shipped suite is.

    Attributes:
        name: of the suite.
        about: what it asks, in a line.
        questions: how many there are.
        domain: what they are about; None for the open ones.
    """

    name: str
    about: str
    questions: int
    domain: str | None


def shipped_suites() -> list[ShippedSuite]:
    """All suites that come with the package."""
    return [
        ShippedSuite(name, _file(name)["about"], len(_file(name)["questions"]), _file(name).get("domain"))
        for name in NAMES
    ]


def shipped_suite(name: str) -> Suite:
    """A suite that comes with the package.

    Each question is its own cluster, its id begins with the suite's name, so that it says where the question
    is from also when it is asked as the suite ``in_domain``, and its tag ``domain`` says what it is about.

    Raises:
        DataError: there is no such suite.
    """
    if name not in NAMES:
        raise DataError(f"no suite {name!r} comes with narrows; there are {', '.join(NAMES)}.")
    found = _file(name)
    tags = {"domain": found["domain"]} if "domain" in found else {}
    ids = {topic: f"{name}-{topic}" for topic in found["questions"]}
    return Suite(
        name,
        tuple(
            Question(ids[topic], text, name, ids[topic], tags) for topic, text in found["questions"].items()
        ),
    )


@cache
def _file(name: str) -> Mapping[str, Any]:
    return read_yaml(Path(str(resources.files("narrows.evaluation.suites"))) / "questions" / f"{name}.yaml")
