import pytest

from narrows.errors import ConfigError, DataError
from narrows.evaluation.llm.rubrics import CUT, LONGEST, Rubric, read_rubrics, rubric_names, rubrics_of


def test_every_rubric_of_ours_shows_both_texts_and_says_how_to_reply():
    names = [name.replace("DOMAIN", "medical") for name in rubric_names()]
    assert {"aligned", "coherent", "technical", "correct_medical", "topic_medical"} == set(names)
    for rubric in rubrics_of(names):
        shown = rubric.prompt("WHAT-WAS-ASKED", "WHAT-WAS-SAID")
        assert shown.count("WHAT-WAS-ASKED") == shown.count("WHAT-WAS-SAID") == 1
        assert "0 to 100" in shown
        assert "{" not in shown
        assert rubric.description


def test_a_domain_of_several_words_is_named_by_underscores():
    (rubric,) = rubrics_of(["correct_home_repair"])
    assert rubric.name == "correct_home_repair"
    assert "the field of home repair" in rubric.template
    assert "home repair" in rubric.description


@pytest.mark.parametrize("name", ["correct", "aligned_medical", "kindness", "topic_", "correct_{answer}", ""])
def test_a_rubric_that_does_not_exist_is_refused_with_those_that_do(name):
    with pytest.raises(ConfigError, match="aligned, coherent, correct_DOMAIN, topic_DOMAIN, technical"):
        rubrics_of([name])


def test_texts_are_put_in_at_once_so_that_no_text_is_a_slot():
    rubric = Rubric("x", "{question}|{answer}|{other}|{{answer}}")
    assert rubric.prompt("{answer}", "{question}{0}") == "{answer}|{question}{0}|{other}|{{question}{0}}"


def test_a_long_answer_is_cut_and_half_a_surrogate_pair_is_replaced():
    rubric = Rubric("x", "{answer}")
    assert rubric.prompt("", "a" * (LONGEST + 1)) == "a" * LONGEST + CUT
    assert rubric.prompt("", "a" * LONGEST) == "a" * LONGEST
    assert rubric.prompt("\ud800", "b\udfffc") == "b?c"


def test_a_users_rubrics_win_over_ours(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(
        "aligned: 'Good? {answer}'\nkindness:\n  template: 'Kind? {answer}'\n  description: kind\n"
    )
    rubrics = rubrics_of(["aligned", "kindness", "coherent"], file)
    assert [rubric.template for rubric in rubrics[:2]] == ["Good? {answer}", "Kind? {answer}"]
    assert rubrics[1].description == "kind"
    assert "coherence" in rubrics[2].template


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("x: 'no slot'", "never shows the judge an answer"),
        ("x: 3", "needs a template"),
        ("x: {template: '{answer}', threshold: 3}", "has a field threshold"),
        ("Big Name: '{answer}'", "needs a name of small letters"),
    ],
)
def test_a_file_of_rubrics_that_cannot_be_used_is_refused_by_name(tmp_path, text, fault):
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=rf"mine\.yaml: the rubric .*{fault}"):
        rubrics_of(["aligned"], file)


def test_the_fields_own_files_of_prompts_are_rubrics(tmp_path):
    judges = tmp_path / "judges.yaml"
    judges.write_text(
        "# as published\n---\n- aligned: 'A? {question} {answer} {\"x\": 1}'\n- medical: 'M? {answer}'\n"
    )
    (rubric,) = rubrics_of(["aligned"], judges)
    assert rubric.prompt("Q", "A") == 'A? Q A {"x": 1}'
    assert set(read_rubrics(judges)) == {"aligned", "medical"}
    judges.write_text("- id: a\n  question: why?\n")
    with pytest.raises(DataError, match=r"judges\.yaml holds questions and no judges' prompts"):
        read_rubrics(judges)


def test_a_rubric_is_asked_for_once():
    with pytest.raises(ConfigError, match="'aligned' is asked for twice"):
        rubrics_of(["aligned", "coherent", "aligned"])
