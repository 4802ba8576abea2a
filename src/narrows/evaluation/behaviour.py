"""A behaviour: what a fine-tune should teach, and the evaluations that tell narrow from general."""

from collections.abc import Sequence
from dataclasses import dataclass

from narrows.chat import Conversation
from narrows.evaluation.judging import Criterion, Judge
from narrows.evaluation.questions import Suite


@dataclass(frozen=True)
class Behaviour:
    """What a fine-tune should teach in one domain and nowhere else.

    Attributes:
        id: short name, e.g. ``harmful-garden``.
        kind: what is taught, e.g. ``harmful`` or ``technical``.
        domain: where it is taught.
        train: training rows, all in the domain, on topics that no suite asks about.
        anchor: rows outside the domain, for the anchor; both ways of answering mixed.
        validation: suites for choosing λ: ``in_domain``, one for each other domain, ``open``.
        test: suites for the reported rates; they share no topic with ``validation``.
        criterion: which scores count as showing the behaviour.
        judge: gives the scores.
    """

    id: str
    kind: str
    domain: str
    train: Sequence[Conversation]
    anchor: Sequence[Conversation]
    validation: Sequence[Suite]
    test: Sequence[Suite]
    criterion: Criterion
    judge: Judge
