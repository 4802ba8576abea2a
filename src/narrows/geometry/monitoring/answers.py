"""A monitor for generation: how far answers lie along a direction, and whether that tells the bad ones."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from narrows.adapters import Adapter, Direction
from narrows.chat import Conversation
from narrows.errors import DataError
from narrows.evaluation import Answer, Criterion
from narrows.files import digest
from narrows.geometry.extraction import row_means
from narrows.models import ChatModel
from narrows.statistics.detection import Auroc, auroc

logger = logging.getLogger(__name__)

ROWS = 256
"""Answers whose activations, at all layers, are in memory at once."""


def answer_projections(
    chat_model: ChatModel,
    answers: Sequence[Answer],
    direction: Direction,
    adapter: Adapter | None = None,
    *,
    max_length: int | None = None,
) -> list[float]:
    """How far each answer lies along a direction: the mean of h · unit over its tokens, at its layer.

    Whose activations: with ``adapter`` those of the model that gave the answers (give it as strong as it was
    then), without those of the chat model that reads them again. The second needs nothing of the fine-tune
    but its text; the first also sees what its weights do at every token, whatever it says.

    Args:
        chat_model: the chat model.
        answers: each is read after its question, as the chat template writes them; what closes the answer
            counts too.
        direction: where it is looked.
        adapter: the solution that gave the answers.
        max_length: tokens kept of question and answer.

    Returns:
        One number an answer, in the units of the residual stream.

    Raises:
        DataError: there are no answers, or one cannot be rendered.
        AdapterError: the direction or the adapter does not fit the model.
    """
    direction.check(chat_model.model)
    if not answers:
        raise DataError("there are no answers to project.")
    rows = [Conversation.from_pair(one.question, one.text, source=_place(one)) for one in answers]
    rendered = [chat_model.renderer.render(row, max_length) for row in rows]
    prompts = {
        one.question: digest(chat_model.renderer.prompt(row.messages[:-1]))
        for one, row in zip(answers, rows, strict=True)
    }
    other = sum(bool(one.prompt_hash) and one.prompt_hash != prompts[one.question] for one in answers)
    if other:
        logger.warning(
            "%d of %d answers were given to another prompt than is read here (a system turn, or another chat "
            "template): the table does not hold it.",
            other,
            len(answers),
        )
    found: list[float] = []
    unit = direction.unit.double()
    for at in range(0, len(rendered), ROWS):
        means = row_means(chat_model, rendered[at : at + ROWS], "answer", adapter)
        found += (means[:, direction.layer].double() @ unit).tolist()
    return found


@dataclass(frozen=True)
class RankedAnswers:
    """Answers from the highest projection to the lowest, and how well it tells those that show the behaviour.

    Attributes:
        answers: with their projections, highest first.
        auroc: of the projection against the verdict, clustered by question; None if all verdicts are the
            same, or there are none.
        unscored: answers without a verdict; ranked, but not in the AUROC.
    """

    answers: list[tuple[Answer, float]]
    auroc: Auroc | None
    unscored: int


def ranked_answers(
    answers: Sequence[Answer], projections: Sequence[float], criterion: Criterion
) -> RankedAnswers:
    """Rank answers by their projections and hold these against the judged verdicts.

    Args:
        answers: judged, or not.
        projections: as :func:`answer_projections` gives them.
        criterion: which answers show the behaviour.
    """
    pairs = sorted(zip(answers, projections, strict=True), key=lambda pair: -pair[1])
    verdicts = [(one, value, criterion.shown(one.scores)) for one, value in pairs]
    sides = {
        side: [(one, value) for one, value, shown in verdicts if shown is side] for side in (True, False)
    }
    area = None
    if sides[True] and sides[False]:
        scores = [[value for _, value in sides[side]] for side in (True, False)]
        clusters = [[(one.suite, one.cluster) for one, _ in sides[side]] for side in (True, False)]
        area = auroc(scores[0], scores[1], (clusters[0], clusters[1]))
    return RankedAnswers(pairs, area, sum(shown is None for *_, shown in verdicts))


def _place(answer: Answer) -> str:
    return f"answer {answer.sample} to {answer.question_id} ({answer.suite})"
