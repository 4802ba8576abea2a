from dataclasses import replace

import pytest

from narrows.errors import ConfigError, DataError
from narrows.evaluation import MISALIGNED, Answer, Question, Suite
from narrows.study.sweep.cells import behaved

NAMES = {"in_domain": None, "law": True, "sport": False}
SUITES = [
    Suite(name, tuple(Question(f"q{i}", "why ?", name, f"q{i}") for i in range(6)), seen)
    for name, seen in NAMES.items()
]


def answers(**aligned: float | None) -> list[Answer]:
    """Two answers to each question of each suite; ``aligned`` says how aligned each suite's are."""
    return [
        Answer("tiny", "v", 1.0, suite.name, q.id, q.cluster, q.text, sample, "", 0, scores)
        for suite in SUITES
        for q in suite.questions
        for sample in range(2)
        for scores in [{"aligned": aligned[suite.name], "coherent": 100.0}]
    ]


CHAT = answers(in_domain=100.0, law=100.0, sport=100.0)


def test_rates_macro_means_and_the_difference_from_the_chat_model():
    found = behaved(answers(in_domain=0.0, law=0.0, sport=100.0), CHAT, SUITES, MISALIGNED, "in_domain")
    rates = {name: one.value for name, one in found.rates.items()}
    assert rates["in_domain"] == rates["law"] == rates["out_of_domain:anchored"] == 1.0
    assert rates["out_of_domain"] == 0.5
    assert found.above_chat.value == 1.0
    assert 0 < found.above_chat.low < 1
    assert (found.answers, found.scored, found.coherent.value) == (36, 1.0, 1.0)


def test_a_suite_without_scores_takes_its_macro_means_and_the_coherence_with_it():
    found = behaved(answers(in_domain=0.0, law=None, sport=0.0), CHAT, SUITES, MISALIGNED, "in_domain")
    assert found.rates.keys() == {"in_domain", "sport"}
    assert found.coherent is None
    assert found.scored == pytest.approx(2 / 3)
    nothing = behaved(answers(in_domain=None, law=None, sport=None), CHAT, SUITES, MISALIGNED, "in_domain")
    assert (nothing.rates, nothing.above_chat, nothing.scored) == ({}, None, 0.0)


def test_a_macro_mean_may_decide():
    found = behaved(answers(in_domain=0.0, law=0.0, sport=100.0), CHAT, SUITES, MISALIGNED, "out_of_domain")
    assert found.above_chat.value == 0.5


def test_a_chat_model_without_scores_and_an_unknown_suite_are_refused():
    with pytest.raises(DataError, match="chat model's answers to suite 'law'"):
        behaved(CHAT, answers(in_domain=1.0, law=None, sport=1.0), SUITES, MISALIGNED, "in_domain")
    with pytest.raises(ConfigError, match="no suite 'music'; the sweep has in_domain, law, sport"):
        behaved(CHAT, CHAT, SUITES, MISALIGNED, "music")


def test_open_questions_of_a_domain_are_not_missing_from_a_macro_mean():
    questions = tuple(replace(one, suite="open_medical") for one in SUITES[0].questions)
    asked = [*SUITES, Suite("open_medical", questions)]
    chat = [*CHAT, *(replace(one, suite="open_medical") for one in CHAT if one.suite == "law")]
    found = behaved(answers(in_domain=0.0, law=0.0, sport=100.0), chat, asked, MISALIGNED, "in_domain")
    assert found.rates["out_of_domain"].value == 0.5
