"""Evaluation: ask a solution questions, judge its answers, and give rates with honest intervals.

``behaviour`` is what a fine-tune should teach, ``questions`` holds questions and suites, ``suites`` those
that come with the package and the choice of what is asked, ``protocols`` the field's files of questions and
judges' prompts. ``answers`` is the answers table, ``generation`` how it is filled (``completion`` and
``sampling`` are one batch and one token of it, ``unfinished`` is what a killed one goes on from). ``judging``
is what a judge is, ``llm`` the language models among them, ``criteria`` which scores count. From judged
answers (``results`` reads them from files of several kinds) ``tallies`` counts, ``rates`` gives rates by
suite with intervals (:mod:`narrows.statistics`), ``correction`` gives self-correction, ``repeated``
error-coherence, and ``agreement`` that of two judges; ``listing`` puts them together.
"""

from narrows.evaluation.answers import CHAT, Answer, read_answers, write_answers
from narrows.evaluation.behaviour import Behaviour
from narrows.evaluation.correction import SelfCorrection, self_correction
from narrows.evaluation.criteria import MISALIGNED, TECHNICAL, Criterion, criterion_of
from narrows.evaluation.generation import generate_answers
from narrows.evaluation.judging import Judge, Unscored, Verdict, judged
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
from narrows.evaluation.repeated import ErrorCoherence, error_coherence
from narrows.evaluation.results import read_results
from narrows.evaluation.suites import choose_suites, shipped_suite, shipped_suites
from narrows.evaluation.tallies import SuiteTally, tallies

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
