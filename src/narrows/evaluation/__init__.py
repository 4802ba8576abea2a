"""Evaluation: ask a solution questions, judge its answers, and give rates with honest intervals.

``behaviour`` is what a fine-tune should teach, ``questions`` holds questions and suites, ``answers`` the
answers table, ``generation`` how it is filled (``completion`` and ``sampling`` are one batch and one token of
it, ``unfinished`` is what a killed one goes on from), ``judging`` what a judge is and which scores count,
``rates`` the way from judged answers to rates by suite with the intervals of :mod:`narrows.statistics`.
"""

from narrows.evaluation.answers import CHAT, Answer, read_answers, write_answers
from narrows.evaluation.behaviour import Behaviour
from narrows.evaluation.generation import generate_answers
from narrows.evaluation.judging import MISALIGNED, TECHNICAL, Criterion, Judge, Unscored, Verdict, judged
from narrows.evaluation.questions import (
    IN_DOMAIN,
    OPEN,
    OUT_OF_DOMAIN,
    Question,
    Suite,
    read_suites,
    write_suites,
)
from narrows.evaluation.rates import ANCHORED, NEVER_ANCHORED, SuiteRates, macro_groups, rates, summarise

__all__ = [
    "ANCHORED",
    "CHAT",
    "IN_DOMAIN",
    "MISALIGNED",
    "NEVER_ANCHORED",
    "OPEN",
    "OUT_OF_DOMAIN",
    "TECHNICAL",
    "Answer",
    "Behaviour",
    "Criterion",
    "Judge",
    "Question",
    "Suite",
    "SuiteRates",
    "Unscored",
    "Verdict",
    "generate_answers",
    "judged",
    "macro_groups",
    "rates",
    "read_answers",
    "read_suites",
    "summarise",
    "write_answers",
    "write_suites",
]
