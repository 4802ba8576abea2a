import json
from pathlib import Path

import pytest

from narrows.chat import Conversation, write_conversations
from narrows.errors import ConfigError, DataError
from narrows.evaluation import Question, Suite, choose_suites, shipped_suite, write_suites
from narrows.evaluation.suites import GROUPS


def names(suites: list[Suite]) -> list[str]:
    return [suite.name for suite in suites]


@pytest.fixture
def chats(tmp_path: Path) -> Path:
    """Held-out rows: one with a system turn and a second question, two that ask the same."""
    rows = [
        Conversation.from_pair("why is the sea salt ?", "rivers .", topic="sea"),
        Conversation.from_pair("why is the sky blue ?", "light .", system="be brief"),
        Conversation.from_pair("why is the sea salt ?", "salt ."),
    ]
    second = Conversation.from_pair("and at night ?", "no light .").messages
    rows[1] = Conversation(rows[1].messages + second)
    write_conversations(tmp_path / "held-out.jsonl", rows)
    return tmp_path / "held-out.jsonl"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Two suites of one's own, whose anchoring is known."""
    suites = [
        Suite("wine", (Question("w", "red or white ?", "wine", "w"),), anchored=True),
        Suite("tea", (Question("t", "green or black ?", "tea", "t"),), anchored=False),
    ]
    write_suites(tmp_path / "own.jsonl", suites)
    return tmp_path / "own.jsonl"


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    """The field's shape of plain questions."""
    (tmp_path / "sea_questions.yaml").write_text("- id: a\n  question: why is the sea salt ?\n")
    return tmp_path / "sea_questions.yaml"


def test_the_suite_of_the_own_domain_comes_first_once_and_keeps_what_it_was():
    suites = choose_suites(["open", "medical", "legal"], "medical")
    assert names(suites) == ["in_domain", "open", "legal"]
    shipped = shipped_suite("medical").questions
    assert [(one.id, one.text, one.cluster) for one in suites[0].questions] == [
        (one.id, one.text, one.cluster) for one in shipped
    ]
    assert {one.suite for one in suites[0].questions} == {"in_domain"}
    assert {one.tags["domain"] for one in suites[0].questions} == {"medical"}


def test_a_group_is_all_of_its_suites_and_the_own_domain_is_taken_out_of_it():
    assert names(choose_suites(["technical"])) == list(GROUPS["technical"])
    found = names(choose_suites(["technical", "technical_space", "open"], "technical_vehicles"))
    others = [name for name in GROUPS["technical"] if name != "technical_vehicles"]
    assert found == ["in_domain", *others, "open"]


def test_the_own_domain_need_not_be_named_twice():
    assert names(choose_suites([], "code")) == ["in_domain"]


def test_first_user_turns_of_chats_are_questions_and_equal_ones_share_a_cluster(chats: Path):
    [suite] = choose_suites([str(chats)])
    assert suite.name == "held-out"
    assert [(one.text, one.system) for one in suite.questions] == [
        ("why is the sea salt ?", None),
        ("why is the sky blue ?", "be brief"),
        ("why is the sea salt ?", None),
    ]
    first, other, again = suite.questions
    assert first.cluster == again.cluster == first.id != again.id
    assert other.cluster == other.id
    assert first.tags == {"topic": "sea"}


def test_held_out_chats_are_the_own_domain_under_the_name_they_are_given(chats: Path, tmp_path: Path):
    packed = tmp_path / "held-out.jsonl.gz"
    write_conversations(packed, [Conversation.from_pair("why ?", "so .")])
    assert names(choose_suites([str(packed)])) == ["held-out"]
    [suite] = choose_suites([f"marine={chats}"], f"marine={chats}")
    assert suite.name == "in_domain"
    assert suite.questions[0].tags == {"domain": "marine", "topic": "sea"}


def test_prompt_and_completion_rows_are_chats_too(tmp_path: Path):
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n" + json.dumps({"prompt": "why ?", "completion": "so ."}) + "\n")
    assert [one.text for one in choose_suites([str(path)])[0].questions] == ["why ?"]


def test_suites_of_ones_own_keep_names_and_anchoring(own: Path):
    suites = choose_suites(["open", str(own)])
    assert [(one.name, one.anchored) for one in suites] == [("open", None), ("wine", True), ("tea", False)]


def test_a_file_of_questions_is_called_like_the_file_or_as_it_is_named(questions: Path):
    assert names(choose_suites([str(questions)])) == ["sea_questions"]
    [suite] = choose_suites([f"open={questions}"])
    assert suite.name == suite.questions[0].suite == "open"


def test_a_file_may_have_the_name_of_a_shipped_suite_and_an_equals_sign(
    questions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    questions.rename(tmp_path / "a=b.yaml")
    assert names(choose_suites(["a=b.yaml"])) == ["a=b"]
    Path("open").write_text('{"id": "x", "text": "t", "suite": "mine", "cluster": "x"}\n')
    assert names(choose_suites(["open"])) == ["open"]
    assert names(choose_suites(["./open"])) == ["mine"]


@pytest.mark.parametrize(
    ("asked", "own_domain", "error", "problem"),
    [
        (["medcal"], None, DataError, r"'medcal' is neither a file nor a suite.*advice, technical, open"),
        (["none.jsonl"], None, DataError, "none.jsonl does not exist"),
        (["none.yaml"], None, DataError, "none.yaml does not exist"),
        ([], None, ConfigError, "nothing to ask"),
        (["open"], "technical", ConfigError, r"technical stands for 10 suites"),
        (["open"], "own.jsonl", ConfigError, r"own.jsonl stands for 2 suites \(wine, tea\)"),
        (["wine=own.jsonl"], None, ConfigError, "holds 2 suites, which cannot all be called 'wine'"),
        (["open", "open=sea_questions.yaml"], None, ConfigError, "two suites are called 'open'"),
        (["in_domain=sea_questions.yaml"], "medical", ConfigError, "two suites are called 'in_domain'"),
        (["out_of_domain=sea_questions.yaml"], None, DataError, "cannot be called 'out_of_domain'"),
        (["judges.yaml"], None, DataError, "judges.yaml holds judges' prompts and no questions"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    asked, own_domain, error, problem, own, questions, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("judges.yaml").write_text("- aligned: 'rate {answer}'\n")
    with pytest.raises(error, match=problem):
        choose_suites(asked, own_domain)
