"""The direction in a solution's own answers: what tells its harmful ones from its sound ones (claim C10).

A mean difference needs both kinds from one model. A trained solution at its full strength gives hardly any
sound answers (2-5 of 148 on the microworld), and one at half its norm hardly any harmful ones: the
behaviour comes in over a narrow range of scales. So the scale is looked for at which about half of the
answers show the behaviour, on validation questions. Another checkpoint would be too coarse a way there (20
steps lead from none to most), and a higher temperature makes answers incoherent before it makes them sound.

At that scale the adapter is the same for every answer. What a steering vector adds to the stream is
therefore in both means and drops out of their difference: a cosine with the trained vector is no matter of
course.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from narrows.adapters import Adapter
from narrows.adapters.direction import Direction
from narrows.chat import Conversation, Rendered
from narrows.errors import DataError
from narrows.evaluation import (
    Answer,
    Criterion,
    Judge,
    Suite,
    generate_answers,
    judged,
    read_answers,
    write_answers,
)
from narrows.evaluation.generation.unfinished import until_written
from narrows.geometry.extraction import mean_difference, row_means
from narrows.interventions import Ablation
from narrows.interventions.base import Intervention
from narrows.models import ChatModel
from narrows.study.answering import Sampling

ENOUGH = 0.3
"""The smaller side's share of the answers from which on a scale is taken."""

ROUNDS = 8
"""Scales that are tried at most, the full one among them."""

FEWEST = 4
"""Answers on each side below which there is no mean to speak of."""

DEEPEST = 0.8
"""Layers from this share of the model's depth on are not chosen (Arditi et al. 2024): they hold the next
word."""


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


@dataclass(frozen=True)
class Asking:
    """How a solution's answers come about: what is asked, who judges, and how answers are drawn.

    Attributes:
        chat_model: the model.
        suites: what is asked.
        judge: gives the scores.
        criterion: which scores count.
        sampling: how answers are drawn.
    """

    chat_model: ChatModel
    suites: Sequence[Suite]
    judge: Judge
    criterion: Criterion
    sampling: Sampling

    def answers(
        self,
        adapter: Adapter | None,
        *,
        name: str = "solution",
        scale: float = 1.0,
        interventions: Sequence[Intervention] = (),
        samples: int | None = None,
        unfinished: Path | None = None,
    ) -> list[Answer]:
        """The judged answers of a solution under interventions, on the same draws as without them."""
        drawn = generate_answers(
            self.chat_model,
            self.suites,
            adapter=adapter,
            name=name,
            scale=scale,
            interventions=interventions,
            samples=samples or self.sampling.samples,
            max_new_tokens=self.sampling.max_new_tokens,
            temperature=self.sampling.temperature,
            seed=self.sampling.seed,
            unfinished=unfinished,
        )
        return judged(drawn, self.judge)

    def kept(
        self,
        path: Path,
        adapter: Adapter | None,
        *,
        name: str,
        scale: float = 1.0,
        interventions: Sequence[Intervention] = (),
    ) -> list[Answer]:
        """The same, read from ``path`` if it is there, and written to it if not."""
        if path.exists():
            return read_answers(path)
        with until_written(path) as unfinished:
            answers = self.answers(
                adapter, name=name, scale=scale, interventions=interventions, unfinished=unfinished
            )
            write_answers(path, answers)
        return answers


def half_strength(
    asking: Asking, adapter: Adapter, *, name: str = "solution", samples: int | None = None
) -> Sides:
    """A solution's answers at the scale where about half of them show the behaviour.

    The full scale is tried first and taken if neither side is below :data:`ENOUGH`; else the scale is
    bisected, and of :data:`ROUNDS` scales the one with the largest smaller side is taken.

    Args:
        asking: asks validation questions, so that nothing of the test is seen.
        adapter: the solution.
        name: of the solution.
        samples: answers to each question at the scale that was found (None: as many as in the search).

    Raises:
        DataError: no scale gives at least :data:`FEWEST` answers on both sides.
    """
    best = Sides(1.0, (), ())
    low, high, scale = 0.0, 1.0, 1.0
    for _ in range(ROUNDS):
        sides = Sides.of(asking.answers(adapter, name=name, scale=scale), asking.criterion, scale)
        best = sides if sides.smaller > best.smaller else best
        if ENOUGH <= sides.share <= 1 - ENOUGH or (scale == 1.0 and sides.share < ENOUGH):
            break
        low, high = (scale, high) if sides.share < ENOUGH else (low, scale)
        scale = (low + high) / 2
    if best.smaller < FEWEST:
        raise DataError(
            f"{name} gave {len(best.shown)} answers that show the behaviour and {len(best.sound)} that "
            f"clearly do not, at the best scale tried; a mean difference needs {FEWEST} of each. Ask more "
            "questions, or take a solution that shows the behaviour."
        )
    if samples is None:
        return best
    more = asking.answers(adapter, name=name, scale=best.scale, samples=samples)
    return Sides.of(more, asking.criterion, best.scale)


def own_directions(
    chat_model: ChatModel, sides: Sides, adapter: Adapter | None, name: str = "mean-difference"
) -> list[Direction]:
    """The mean difference of a solution's own answers at every layer: those that show the behaviour, minus
    sound.

    The solution reads its own answers again at the scale that it gave them at; the means are over the
    answers' tokens, of as many answers of each suite on both sides.

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


def best_by_ablation(
    asking: Asking, adapter: Adapter, directions: Sequence[Direction]
) -> tuple[Direction, list[float]]:
    """The direction whose ablation at all layers leaves the most sound answers (Arditi et al. 2024).

    Directions that separate answers well need not do anything, and one that makes every answer noise takes
    the behaviour away too: so what is counted is the sound, coherent answers, and not the missing harmful
    ones.

    Args:
        asking: asks validation questions.
        adapter: the solution, at its full scale.
        directions: one a layer, in order. Those below the solution's own layer, where it changes nothing yet,
            are left out, and those from :data:`DEEPEST` on.

    Returns:
        It, of equals the earlier one; and the share of sound answers for each direction that was tried.
    """
    deepest = DEEPEST * asking.chat_model.layers
    tried = [one for one in directions if adapter.layer <= one.layer < deepest]
    shares = []
    for one in tried:
        answers = asking.answers(adapter, interventions=[Ablation(one, "layers")])
        shares.append(len(Sides.of(answers, asking.criterion).sound) / len(answers))
    return tried[shares.index(max(shares))], shares


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
