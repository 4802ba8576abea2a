"""Evaluation: ask a solution questions, judge its answers, and give rates with honest intervals.

``behaviour`` is what a fine-tune should teach, ``questions`` holds questions and suites, ``suites`` those
that come with the package and the choice of what is asked, ``protocols`` the field's files of questions and
judges' prompts, ``answers`` batched generation and the answers table, ``judging`` what a judge is and which
scores count, ``rates`` the way from judged answers to rates by suite with the intervals of
:mod:`narrows.statistics`.
"""

from narrows.evaluation.answers import CHAT, Answer, generate_answers, read_answers, write_answers
from narrows.evaluation.behaviour import Behaviour
from narrows.evaluation.judging import MISALIGNED, TECHNICAL, Criterion, Judge, Unscored, Verdict, judged
from narrows.evaluation.protocols import Protocol, read_protocol
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
from narrows.evaluation.suites import choose_suites, shipped_suite, shipped_suites

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
    "Protocol",
    "Question",
    "Suite",
    "SuiteRates",
    "Unscored",
    "Verdict",
    "choose_suites",
    "generate_answers",
    "judged",
    "macro_groups",
    "rates",
    "read_answers",
    "read_protocol",
    "read_suites",
    "shipped_suite",
    "shipped_suites",
    "summarise",
    "write_answers",
    "write_suites",
]
