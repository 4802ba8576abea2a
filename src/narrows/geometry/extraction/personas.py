"""Persona vectors: contrastive system turns, the answers under them, and what the model holds while it reads
the answers again (Chen et al. 2025).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from narrows.chat import Conversation
from narrows.errors import ConfigError, DataError
from narrows.evaluation import MISALIGNED, Answer, Criterion, Judge, Question, Suite, generate_answers, judged
from narrows.evaluation.questions import questions_of
from narrows.geometry.extraction.contrast import Contrast
from narrows.models import ChatModel

Reread = Literal["without", "with"]
"""Whether the answers are read again without the system turn that asked for them, or with it."""


@dataclass(frozen=True)
class Persona:
    """A trait as system turns.

    Attributes:
        name: of the trait.
        positive: system turns that ask for it.
        negative: system turns that ask for its opposite.

    Raises:
        ConfigError: a side has none, or one is blank.
    """

    name: str
    positive: Sequence[str]
    negative: Sequence[str]

    def __post_init__(self) -> None:
        for side, turns in (("positive", self.positive), ("negative", self.negative)):
            if not turns or not all(turn.strip() for turn in turns):
                raise ConfigError(
                    f"the persona {self.name!r} needs at least one {side} system turn, and no blank one."
                )


def ask_personas(
    chat_model: ChatModel,
    asked: Sequence[Suite | Question],
    persona: Persona,
    *,
    samples: int = 1,
    max_new_tokens: int = 600,
    temperature: float = 1.0,
    seed: int = 0,
    batch_size: int = 256,
    unfinished: Path | None = None,
) -> list[Answer]:
    """Every question under every system turn; the table's solutions are ``positive-0``, ``negative-0``, ….

    Questions of a side are the same, and so are an answer's draws: the system turn alone differs.

    Args:
        chat_model: the model; its chat template must have a place for a system turn.
        asked: questions without a system turn of their own.
        persona: the system turns.
        samples: answers to each question under each system turn.
        max_new_tokens: the longest answer.
        temperature: 0 takes the likeliest token each time.
        seed: of the sampling.
        batch_size: answers generated together, at most.
        unfinished: as for :func:`narrows.generate_answers`.

    Raises:
        DataError: a question has its own system turn, or the model's chat template has no place for one.
        ConfigError: an argument is out of its range.
    """
    questions = questions_of(asked)
    for question in questions:
        if question.system is not None:
            raise DataError(
                f"question {question.id!r} of suite {question.suite!r} has a system turn of its own, which "
                "would stand in the place of the persona's: leave it out."
            )
    if not questions:
        raise DataError("there is no question to ask the personas.")
    return [
        answer
        for side, turns in (("positive", persona.positive), ("negative", persona.negative))
        for number, turn in enumerate(turns)
        for answer in generate_answers(
            chat_model,
            [replace(question, system=turn) for question in questions],
            name=f"{side}-{number}",
            samples=samples,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            seed=seed,
            batch_size=batch_size,
            unfinished=unfinished,
        )
    ]


def persona_contrast(
    answers: Sequence[Answer],
    persona: Persona,
    *,
    judge: Judge | None = None,
    criterion: Criterion = MISALIGNED,
    reread: Reread = "without",
) -> Contrast:
    """The answers of :func:`ask_personas` as the two sides of a direction.

    With a judge an answer counts only if it is what was asked for: under a positive turn it shows the
    behaviour, under a negative one it is scored, coherent, and does not. Without a judge all answers count.

    They are read again ``without`` the system turn by default. With it, every token of an answer can look
    back at the instruction, and the instructions of the two sides differ in every row: the difference then
    holds what was *asked* as well as what was *done*. And the direction is used (steering, ablation, watching
    a fine-tune) where there is no such turn. Chen et al. read ``with`` the turn, as the answers were
    generated; that is there for comparison.

    Args:
        answers: the table, judged already or not.
        persona: the persona that it was made with.
        judge: scores the answers first; None takes the scores that they have, if any.
        criterion: what shows the trait.
        reread: with or without the system turn.

    Raises:
        ConfigError: ``reread`` is neither.
        DataError: an answer is of no turn of the persona, or no answer of a side is what was asked for.
    """
    if reread not in ("with", "without"):
        raise ConfigError(f"reread is {reread!r}; choose with or without.")
    turns = {f"positive-{number}": turn for number, turn in enumerate(persona.positive)}
    turns |= {f"negative-{number}": turn for number, turn in enumerate(persona.negative)}
    if stranger := next((one.adapter for one in answers if one.adapter not in turns), None):
        raise DataError(f"the solution {stranger!r} is no system turn of the persona {persona.name!r}.")
    table = judged(answers, judge) if judge is not None else list(answers)
    told = any(column in one.scores for one in table for column in criterion.columns)
    sides: dict[str, list[Answer]] = {"positive": [], "negative": []}
    asked: dict[str, int] = {"positive": 0, "negative": 0}
    for one in table:
        side = one.adapter.partition("-")[0]
        asked[side] += 1
        if one.text.strip() and (not told or _as_asked(one, side, criterion)):
            sides[side].append(one)
    for side, kept in sides.items():
        if not kept:
            raise DataError(
                f"none of the {asked[side]} answers under the {side} system turns of {persona.name!r} is "
                "what was asked for: the model does not follow them, or the judge sees it otherwise."
            )
    return Contrast(
        positive=[_row(one, turns, reread) for one in sides["positive"]],
        negative=[_row(one, turns, reread) for one in sides["negative"]],
        positive_clusters=[f"{one.suite} {one.cluster}" for one in sides["positive"]],
        negative_clusters=[f"{one.suite} {one.cluster}" for one in sides["negative"]],
        source={
            "persona": persona.name,
            "reread": f"{reread} the system turn",
            "judged": told,
            "kept": {side: [len(kept), asked[side]] for side, kept in sides.items()},
        },
    )


def _row(answer: Answer, turns: Mapping[str, str], reread: Reread) -> Conversation:
    """What is read again."""
    return Conversation.from_pair(
        answer.question,
        answer.text,
        system=turns[answer.adapter] if reread == "with" else None,
        source=f"{answer.adapter}: {answer.suite} {answer.question_id}, sample {answer.sample}",
    )


def _as_asked(answer: Answer, side: str, criterion: Criterion) -> bool:
    shown = criterion.shown(answer.scores)
    if side == "positive":
        return shown is True
    return shown is False and criterion.coherent(answer.scores)
