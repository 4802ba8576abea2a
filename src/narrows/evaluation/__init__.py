"""Evaluation: ask a solution questions, judge its answers, and give rates with honest intervals.

``behaviour`` is what a fine-tune should teach, ``questions`` what a question and a suite are, ``suites``
those that come with the package and the readers of the field's files. ``generation`` asks them and fills the
table of ``answers``. ``judging`` is what a judge is, ``llm`` the language models among them, ``criteria``
which scores count. ``results`` reads judged answers from files of several kinds, and ``rates`` makes rates,
differences and agreement of them, with the intervals of :mod:`narrows.statistics`.
"""

from narrows.evaluation.answers import CHAT, Answer, read_answers, write_answers
from narrows.evaluation.behaviour import Behaviour
from narrows.evaluation.criteria import MISALIGNED, TECHNICAL, Criterion, criterion_of
from narrows.evaluation.generation import generate_answers
from narrows.evaluation.judging import Judge, Unscored, Verdict, judged
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
from narrows.evaluation.rates.correction import SelfCorrection, self_correction
from narrows.evaluation.rates.repeated import ErrorCoherence, error_coherence
from narrows.evaluation.rates.tallies import SuiteTally, tallies
from narrows.evaluation.results import read_results
from narrows.evaluation.suites import choose_suites, shipped_suite, shipped_suites
from narrows.evaluation.suites.protocols import Protocol, read_protocol

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
    "ErrorCoherence",
    "Judge",
    "Protocol",
    "Question",
    "SelfCorrection",
    "Suite",
    "SuiteRates",
    "SuiteTally",
    "Unscored",
    "Verdict",
    "choose_suites",
    "criterion_of",
    "error_coherence",
    "generate_answers",
    "judged",
    "macro_groups",
    "rates",
    "read_answers",
    "read_protocol",
    "read_results",
    "read_suites",
    "self_correction",
    "shipped_suite",
    "shipped_suites",
    "summarise",
    "tallies",
    "write_answers",
    "write_suites",
]
