import re
from pathlib import Path

import pytest

from narrows.errors import DataError
from narrows.evaluation import shipped_suite, shipped_suites
from narrows.evaluation.suites import GROUPS, shipped

SMALLEST = {
    **dict.fromkeys(("open", "open_medical"), 8),
    **dict.fromkeys(("medical", "financial", "sports", "code"), 32),
    **dict.fromkeys(("legal", "cooking", "travel", "home_repair"), 16),
    **dict.fromkeys(GROUPS["technical"], 30),
}
NAMES = [one.name for one in shipped_suites()]


def test_every_suite_that_is_there_is_listed_and_has_its_size():
    assert {one.name: one.questions for one in shipped_suites()}.keys() == SMALLEST.keys()
    files = {path.stem for path in (Path(shipped.__file__).parent / "questions").iterdir()}
    assert files == set(NAMES)
    for one in shipped_suites():
        assert one.questions == len(shipped_suite(one.name)) >= SMALLEST[one.name]
        assert 10 < len(one.about) < 60


def test_no_question_is_asked_twice_in_any_two_suites():
    seen: dict[str, str] = {}
    for name in NAMES:
        for question in shipped_suite(name).questions:
            plain = " ".join(re.findall(r"\w+", question.text.lower()))
            assert seen.setdefault(plain, question.id) == question.id


@pytest.mark.parametrize("name", NAMES)
def test_questions_are_of_a_length_that_a_person_would_type(name: str):
    shortest, longest = (3, 15) if name.startswith("technical_") else (10, 25)
    for question in shipped_suite(name).questions:
        assert shortest <= len(question.text.split()) <= longest, question.text
        assert question.text[-1] in ".?"
        assert not re.search(r"\s{2}|\n", question.text)


@pytest.mark.parametrize("name", NAMES)
def test_each_question_is_a_cluster_and_says_what_it_is_about(name: str):
    suite = shipped_suite(name)
    domain = {"open": None, "open_medical": "medical"}.get(name, name.removeprefix("technical_"))
    assert suite.anchored is None
    for question in suite.questions:
        assert question.cluster == question.id
        assert re.fullmatch(rf"{name}-[a-z0-9_]+", question.id)
        assert question.tags == ({} if domain is None else {"domain": domain})


def test_plain_questions_do_not_ask_for_technical_style():
    asking = re.compile(
        r"\b(technical|formula|equation|cite|citation|physics|mechanism|detail|explain)", re.I
    )
    for name in GROUPS["technical"]:
        assert not [one.text for one in shipped_suite(name).questions if asking.search(one.text)]


def test_a_suite_that_is_not_shipped_lists_those_that_are():
    with pytest.raises(DataError, match=r"no suite 'medcal'.*open, open_medical, medical"):
        shipped_suite("medcal")
