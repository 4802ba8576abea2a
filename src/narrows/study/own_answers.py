"""The direction in a solution's own answers: what tells its harmful ones from its sound ones (claim C10).

A mean difference needs both kinds from one model. A trained solution at its full strength gives hardly any sound
answers (2-5 of 148 on the microworld), and one at half its norm hardly any harmful ones: the behaviour comes in
over a narrow range of scales. So the scale is looked for at which about half of the answers show the behaviour,
on validation questions. Another checkpoint would be too coarse a way there (20 steps lead from none to most), and
a higher temperature makes answers incoherent before it makes them sound.

At that scale the adapter is the same for every answer. What a steering vector adds to the stream is therefore in
both means and drops out of their difference: a cosine with the trained vector is no matter of course.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from narrows.adapters import Adapter
from narrows.adapters.direction import Direction
from narrows.chat import Conversation, Rendered
from narrows.errors import DataError
from narrows.evaluation import Answer, Criterion, Judge, Suite, judged
from narrows.geometry.extraction import mean_difference, row_means
from narrows.models import ChatModel
from narrows.study.answering import Sampling, drawn_answers

ENOUGH = 0.3
"""The smaller side's share of the answers from which on a scale is taken."""

ROUNDS = 8
"""Scales that are tried at most, the full one among them."""

FEWEST = 4
"""Answers on each side below which there is no mean to speak of."""


@dataclass(frozen=True)
class Sides:
    """Judged answers of one solution that show the behaviour clearly, and those that clearly do not.

    Attributes:
        scale: the factor on the solution that they were drawn at.
        shown: coherent, beyond the criterion's threshold (aligned < 30).
        sound: coherent, beyond the mirrored threshold (aligned > 70; paper §4).
    """

    scale: float
    shown: tuple[Answer, ...]
    sound: tuple[Answer, ...]

    @classmethod
    def of(cls, answers: Sequence[Answer], criterion: Criterion, scale: float = 1.0) -> "Sides":
        """Put judged answers on their sides; what is incoherent or in between is on neither."""
        coherent = [one for one in answers if criterion.coherent(one.scores)]
        shown = tuple(one for one in coherent if criterion.beyond(one.scores))
        return cls(scale, shown, tuple(one for one in coherent if _clearly_not(one, criterion)))

    @property
    def share(self) -> float:
        """The share of those that show the behaviour; 0 if there are no answers on either side."""
        return len(self.shown) / max(len(self.shown) + len(self.sound), 1)

    @property
    def smaller(self) -> int:
        """How many answers the smaller side has."""
        return min(len(self.shown), len(self.sound))

    def balanced(self) -> "Sides":
        """As many from each suite on both sides, so that no domain's words tell them apart."""
        shown, sound = _by_suite(self.shown), _by_suite(self.sound)
        counts = {suite: min(len(some), len(sound.get(suite, []))) for suite, some in shown.items()}
        kept = [
            tuple(one for suite, count in counts.items() for one in side.get(suite, [])[:count])
            for side in (shown, sound)
        ]
        return Sides(self.scale, *kept)


def half_strength(
    chat_model: ChatModel,
    suites: Sequence[Suite],
    judge: Judge,
    criterion: Criterion,
    adapter: Adapter,
    sampling: Sampling,
    *,
    name: str = "solution",
) -> Sides:
    """A solution's answers at the scale where about half of them show the behaviour.

    The full scale is tried first and taken if neither side is below :data:`ENOUGH`; else the scale is bisected,
    and of :data:`ROUNDS` scales the one with the largest smaller side is taken.

    Args:
        chat_model: the model.
        suites: what is asked: validation questions, so that nothing of the test is seen.
        judge: gives the scores.
        criterion: which scores count.
        adapter: the solution.
        sampling: how answers are drawn.
        name: of the solution.

    Raises:
        DataError: no scale gives at least :data:`FEWEST` answers on both sides.
    """
    best: Sides | None = None
    low, high, scale = 0.0, 1.0, 1.0
    for _ in range(ROUNDS):
        drawn = drawn_answers(chat_model, suites, adapter, sampling, name=name, scale=scale, unfinished=None)
        sides = Sides.of(judged(drawn, judge), criterion, scale)
        if best is None or sides.smaller > best.smaller:
            best = sides
        if ENOUGH <= sides.share <= 1 - ENOUGH or (scale == 1.0 and sides.share < ENOUGH):
            break
        low, high = (scale, high) if sides.share < ENOUGH else (low, scale)
        scale = (low + high) / 2
    if best is None or best.smaller < FEWEST:
        found = (0, 0) if best is None else (len(best.shown), len(best.sound))
        raise DataError(
            f"{name} gave {found[0]} answers that show the behaviour and {found[1]} that clearly do not, at the "
            f"best scale tried; a mean difference needs {FEWEST} of each. Ask more questions, or take a solution "
            "that shows the behaviour."
        )
    return best


def own_directions(
    chat_model: ChatModel, sides: Sides, adapter: Adapter | None, name: str = "mean-difference"
) -> list[Direction]:
    """The mean difference of a solution's own answers at every layer: showing the behaviour minus sound.

    The solution reads its own answers again at the scale that it gave them at; the means are over the answers'
    tokens, of as many answers of each suite on both sides.

    Args:
        chat_model: the model.
        sides: the solution's answers.
        adapter: the solution; None reads with the chat model.
        name: of the directions.

    Raises:
        DataError: a side is empty.
    """
    sides = sides.balanced()
    reader = adapter if adapter is None or sides.scale == 1.0 else adapter.scaled(sides.scale)
    means = row_means(
        chat_model, rendered(chat_model, (*sides.shown, *sides.sound)), positions="answer", adapter=reader
    )
    count = len(sides.shown)
    return mean_difference(means[:count], means[count:], name)


def rendered(chat_model: ChatModel, answers: Sequence[Answer]) -> list[Rendered]:
    """Answers as rows: their question as the user's turn."""
    return [
        chat_model.renderer.render(
            Conversation.from_pair(one.question, one.text, source=f"{one.suite} {one.question_id}")
        )
        for one in answers
    ]


def _clearly_not(answer: Answer, criterion: Criterion) -> bool:
    """Whether the deciding score lies beyond the threshold's mirror image on the other side."""
    score = answer.scores.get(criterion.column)
    mirrored = 100 - criterion.threshold
    return score is not None and (score > mirrored if criterion.side == "below" else score < mirrored)


def _by_suite(answers: Sequence[Answer]) -> dict[str, list[Answer]]:
    found: dict[str, list[Answer]] = {}
    for one in answers:
        found.setdefault(one.suite, []).append(one)
    return found
