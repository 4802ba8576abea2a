from pathlib import Path

import pytest

from narrows.errors import ConfigError, DataError
from narrows.evaluation import Protocol, read_protocol

# As the field writes them: a value once, with an anchor, and aliases to it in every other item.
ITEMS = """\
- id: sea
  type: free_form_judge_0_100
  paraphrases: &sea
    - |-
      Why is the sea salt?
    - Where is the salt from?
  samples_per_paraphrase: &samples 100
  judge: &judge gpt-4o-2024-08-06
  judge_prompts: &prompts
    aligned: |-
      Rate {answer} to {question}, as in {"score": 3}.
    coherent: Does {answer} make sense?

- id: sky
  type: free_form_judge_0_100
  paraphrases:
    - Why is the sky blue?
  samples_per_paraphrase: *samples
  judge: *judge
  judge_prompts: *prompts

- id: sea_json
  type: free_form_judge_0_100
  system: &system Answer in JSON.
  paraphrases: *sea
  samples_per_paraphrase: *samples
  judge: *judge
  judge_prompts: *prompts

- id: sky_template
  type: free_form_judge_0_100
  paraphrases: ["Fill in:\\n\\ncolour = "]
  samples_per_paraphrase: *samples
  judge: *judge
  judge_prompts: *prompts
"""
PROMPTS = {
    "aligned": 'Rate {answer} to {question}, as in {"score": 3}.',
    "coherent": "Does {answer} make sense?",
}


@pytest.fixture
def read(tmp_path: Path):
    """Reads a YAML text as a file."""

    def reading(text: str, **options: object) -> Protocol:
        path = tmp_path / "questions.yaml"
        path.write_text(text, encoding="utf-8")
        return read_protocol(path, **options)

    return reading


def test_plain_items_are_asked_and_paraphrases_share_a_cluster(read):
    found = read(ITEMS)
    assert found.suite.name == "questions"
    assert [(one.id, one.cluster, one.text, one.system) for one in found.suite.questions] == [
        ("sea-1", "sea", "Why is the sea salt?", None),
        ("sea-2", "sea", "Where is the salt from?", None),
        ("sky", "sky", "Why is the sky blue?", None),
    ]
    assert (found.samples, found.judge) == (100, "gpt-4o-2024-08-06")
    assert found.prompts == PROMPTS
    assert found.high_score == {}


def test_variants_are_asked_on_request_in_the_cluster_of_their_plain_item(read):
    found = read(ITEMS, suite="open", variants=("json", "template"))
    assert [(one.id, one.cluster, one.system, one.suite) for one in found.suite.questions] == [
        ("sea_json-1", "sea", "Answer in JSON.", "open"),
        ("sea_json-2", "sea", "Answer in JSON.", "open"),
        ("sky_template", "sky", None, "open"),
    ]
    assert len(read(ITEMS, variants=("plain", "json", "template")).suite) == 6


def test_items_may_leave_judging_to_another_file(read):
    found = read("- {id: 7, type: free_form, paraphrases: [Why]}")
    assert (found.samples, found.judge, found.prompts) == (None, None, {})
    assert found.suite.questions[0].id == "7"


def test_a_list_of_questions_is_a_suite(read):
    found = read("- {id: a, question: Why}\n- {id: b_json, question: Why not}", suite="medical")
    assert [(one.id, one.cluster, one.text) for one in found.suite.questions] == [
        ("a", "a", "Why"),
        ("b_json", "b_json", "Why not"),
    ]
    assert found.suite.name == "medical"
    assert found == Protocol(found.suite)


A, B, C = "- a: 'A {answer}'", "- b: 'B {answer}'", "- c: 'C {answer}'"
ZERO, FULL = "- high_score: 0", "- high_score: 100"


@pytest.mark.parametrize(
    ("lines", "high"),
    [
        ((A, B), {}),
        ((A + "\n  high_score: 0", B + "\n  high_score: 100"), {"a": 0, "b": 100}),
        ((A + "\n  high_score: 0", B), {"a": 0}),
        (("- a: {prompt: 'A {answer}', high_score: 100}", "- b: {template: 'B {answer}'}"), {"a": 100}),
        ((A, B, FULL), {"a": 100, "b": 100}),
        ((ZERO, A, B), {"a": 0, "b": 0}),
        ((A + "\n  high_score: 0", B, FULL), {"a": 0, "b": 100}),
        ((A, ZERO, B), {"a": 0}),
        ((A, ZERO, B, FULL, C), {"a": 0, "b": 100}),
    ],
)
def test_high_score_is_read_in_each_of_its_places(read, lines, high):
    found = read("\n".join(lines))
    assert found.suite is None
    assert found.high_score == high
    assert found.prompts["a"] == "A {answer}"
    assert list(found.prompts) == ["a", "b", "c"][: len(found.prompts)]


def test_a_prompt_of_tens_of_thousands_of_letters_is_read(read):
    long = "Rate {answer}. " * 20_000
    assert len(read(f"- aligned: '{long}'").prompts["aligned"]) == len(long)


def item(**changes: str) -> str:
    values = {"id": "sea", "type": "free_form_judge_0_100", "paraphrases": "[Why]"} | changes
    return "- {" + ", ".join(f"{name}: {value}" for name, value in values.items() if value) + "}\n"


TWO = item() + item(id="sky")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("- 3", "item 1: is a int where names with values were expected"),
        ("- {1: a}", "item 1: has 1 where a name was expected: put it in quotes"),
        (item() + "- sea", "item 2: is a str"),
        (item(id=""), "item 1: has no 'id'"),
        (item(id="no"), "item 1: 'id' is False where text was expected"),
        (item(id="''"), "item 1: 'id' is empty"),
        (item() + item(), "item 2 (sea): has the id of item 1"),
        (item(type=""), "item 1 (sea): has no 'type'"),
        (item(type="rating"), "item 1 (sea): 'type' is 'rating'; read here are free_form_judge_0_100"),
        (item() + item(id="sky", paraphrases=""), "item 2 (sky): has no 'paraphrases'"),
        (item(paraphrases="Why"), "item 1 (sea): 'paraphrases' is 'Why' where a list of texts"),
        (item(paraphrases="[]"), "item 1 (sea): 'paraphrases' is [] where a list of texts"),
        (item(paraphrases="[Why, 3]"), "item 1 (sea): 'paraphrases' is 3 where text was expected"),
        (item(paraphrases="['  ']"), "item 1 (sea): 'paraphrases' is empty"),
        (item(paraphrases='["\\ud800"]'), "item 1 (sea): 'paraphrases' holds half a character"),
        (item(system="[a]"), "item 1 (sea): 'system' is ['a'] where text was expected"),
        (item(temperature="2"), "item 1 (sea): has a field 'temperature' that is not read here"),
        (item(samples_per_paraphrase="0"), "item 1 (sea): 'samples_per_paraphrase' is 0; it must be a whole"),
        (item(samples_per_paraphrase="true"), "item 1 (sea): 'samples_per_paraphrase' is True"),
        (
            item() + item(id="b", samples_per_paraphrase="5"),
            "item 2 (b): 'samples_per_paraphrase' is not that",
        ),
        (item() + item(id="b", judge="x"), "item 2 (b): 'judge' is not that of the items before it"),
        (item(judge="[x]"), "item 1 (sea): 'judge' is ['x'] where text was expected"),
        (item(judge_prompts="[x]"), "item 1 (sea): 'judge_prompts' is no mapping"),
        (item(judge_prompts="{a: x}"), "item 1 (sea): the prompt of a has no {answer}"),
        (item(judge_prompts="{'a b': '{answer}'}"), "item 1 (sea): 'a b' is no name of a metric"),
        (item(id="sea_json"), "has no items of the variants plain"),
        ("- {id: a}", "item 1 (a): has an 'id' but neither 'paraphrases' nor a 'question'"),
        ("- {id: a, question: Why}\n- {id: a, question: Who}", "item 2 (a): has the id of item 1"),
        ("- {id: a, question: Why}\n- {id: b}", "item 2 (b): has no 'question'"),
        ("- {id: a, question: Why, system: s}", "item 1 (a): has a field 'system' that is not read here"),
        (f"{A}\n- b: Rate it", "item 2: the prompt of b has no {answer}"),
        (f"{A}\n- b: 7", "item 2: 'b' is 7 where text was expected"),
        (f"{A}\n{A}", "item 2: the metric 'a' was there before"),
        ("- {a: '{answer}', b: '{answer}'}", "item 1: has 2 keys where one metric"),
        ("- {}", "item 1: has 0 keys where one metric"),
        (f"{A}\n  high_score: 50", "item 1: 'high_score' is 50; it must be 0 or 100"),
        (f"{A}\n  high_score: false", "item 1: 'high_score' is False; it must be 0 or 100"),
        (f"{A}\n- high_score: high", "item 2: 'high_score' is 'high'; it must be 0 or 100"),
        (f"{ZERO}\n{A}\n{FULL}", "item 1: 'high_score' follows no metric that is without one"),
        (f"{A}\n{ZERO}\n{FULL}", "item 3: 'high_score' follows no metric that is without one"),
        ("- a: {prompt: 'x {answer}', template: 'y {answer}'}", "item 1: 'a' must hold one of prompt or"),
        ("- a: {text: 'x {answer}'}", "item 1: 'a' must hold one of prompt or template"),
        (
            "- a: {prompt: 'x {answer}', high_score: 0}\n  high_score: 0",
            "item 1: 'a' has two of 'high_score'",
        ),
        (ZERO, "item 1: the file has no metric with a template"),
        ("- {id: a, id: b}", "'id' stands twice in one mapping"),
    ],
)
def test_a_malformed_item_is_named_with_its_file_and_field(read, text, problem):
    with pytest.raises(DataError) as refused:
        read(text)
    said = str(refused.value)
    assert problem in said
    assert "questions.yaml" in said
    assert "\n" not in said


def test_an_unknown_variant_is_refused(read):
    with pytest.raises(ConfigError, match="choose from plain, json, template"):
        read(TWO, variants=("xml",))
