"""Answers of one solution at one scale: generated once, judged, and kept on disk."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from narrows.adapters import Adapter
from narrows.evaluation import (
    CHAT,
    Answer,
    Behaviour,
    Criterion,
    Suite,
    generate_answers,
    judged,
    read_answers,
    write_answers,
)
from narrows.evaluation.generation.unfinished import until_written
from narrows.models import ChatModel


class Sampling(Protocol):
    """How a study draws its answers: the fields that its configurations share."""

    @property
    def samples(self) -> int:
        """Answers to each question."""

    @property
    def max_new_tokens(self) -> int:
        """Tokens of the longest answer."""

    @property
    def temperature(self) -> float:
        """Of the sampling; 0 takes the likeliest token."""

    @property
    def seed(self) -> int:
        """Of the sampling."""


@dataclass(frozen=True)
class Draws:
    """How a stage draws its answers, by itself: a :class:`Sampling`."""

    samples: int
    max_new_tokens: int
    temperature: float
    seed: int

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Draws":
        """Those of a stage's settings."""
        return cls(*(settings[name] for name in ("samples", "max_new_tokens", "temperature", "seed")))


def drawn_answers(
    chat_model: ChatModel,
    suites: Sequence[Suite],
    adapter: Adapter | None,
    config: Sampling,
    *,
    name: str,
    scale: float,
    unfinished: Path | None,
) -> list[Answer]:
    """The answers of a solution (None: the chat model), drawn as a study's configuration says."""
    return generate_answers(
        chat_model,
        suites,
        adapter=adapter,
        name=name,
        scale=scale,
        samples=config.samples,
        max_new_tokens=config.max_new_tokens,
        temperature=config.temperature,
        seed=config.seed,
        unfinished=unfinished,
    )


def judged_answers(
    chat_model: ChatModel,
    behaviour: Behaviour,
    suites: Sequence[Suite],
    adapter: Adapter | None,
    config: Sampling,
    *,
    name: str = CHAT,
    scale: float = 1.0,
    out: Path | None = None,
) -> list[Answer]:
    """The judged answers table of a solution (None: the chat model), read from ``out`` if it is there."""
    if out is not None and out.exists():
        return read_answers(out)
    with nullcontext() if out is None else until_written(out) as unfinished:
        answers = drawn_answers(
            chat_model, suites, adapter, config, name=name, scale=scale, unfinished=unfinished
        )
        scored = judged(answers, behaviour.judge)
        if out is not None:
            write_answers(out, scored)
    return scored


def scored(answers: Sequence[Answer], criterion: Criterion) -> list[Answer]:
    """The answers of those suites on which any has a verdict.

    A judge may have refused a whole suite, or a broken solution said nothing there that can be judged: that
    suite then has no rate, and the others have.
    """
    some = {(one.adapter, one.scale, one.suite) for one in answers if criterion.shown(one.scores) is not None}
    return [one for one in answers if (one.adapter, one.scale, one.suite) in some]
