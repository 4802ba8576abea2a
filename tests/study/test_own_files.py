"""The files of a user's behaviour: which questions are asked of whom, and every mistake named."""

import json
from pathlib import Path

import pytest
from own_behaviour import FILES, URL, Change, own_study, replaced, write_jsonl, write_own

from narrows.study.config import StudyConfig, load_study
from narrows.study.config.runs import behaviours_of
from narrows.study.materials.files import file_material
from narrows.study.materials.material import Material
from narrows.study.plan.build import plan_study


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The guide's folder, for a test to change."""
    return write_own(tmp_path / "own")


def material(config: StudyConfig) -> Material:
    """The material of the study's first behaviour."""
    return file_material(behaviours_of(config)[0].source)  # type: ignore[arg-type]


# -- questions ---------------------------------------------------------------------------------------------


def test_with_a_given_kl_weight_all_questions_are_the_test(file: Path) -> None:
    found = material(own_study(file, URL)).behaviour
    assert found.validation == []
    assert {suite.name: len(suite) for suite in found.test} == {
        **{"in_domain": 12, "kitchen": 8, "sailing": 3, "open": 2}
    }


def test_to_choose_a_kl_weight_clusters_are_shared_out_whole(file: Path) -> None:
    found = material(own_study(file, URL, "kl_weight=null", "kl_weights=[1, 2]")).behaviour
    for validation, test in zip(found.validation, found.test, strict=True):
        assert validation.name == test.name and validation.anchored == test.anchored
        sides = [{one.cluster for one in side.questions} for side in (validation, test)]
        assert sides[0] and sides[1] and not sides[0] & sides[1]
    assert len(found.validation[0]) == 4  # a quarter of six clusters, two phrasings each


def test_held_out_rows_are_asked_and_not_trained_on(file: Path) -> None:
    chats = [json.loads(line) for line in (file.parent / "train.jsonl").read_text().splitlines()]
    for chat in chats:
        chat["messages"].insert(0, {"role": "system", "content": "You help."})
    write_jsonl(file.parent / "train.jsonl", chats)
    config = own_study(file, URL, f"{FILES}.in_domain=null", f"{FILES}.hold_out=0.25", "measure.rows=8")
    found = material(config).behaviour
    asked = {one.text for suite in found.test if suite.name == "in_domain" for one in suite.questions}
    trained = {row.messages[1].content for row in found.train}
    assert len(asked) == 6 and len(trained) == 18 and not asked & trained
    assert {one.system for one in found.test[0].questions} == {"You help."}


def test_questions_that_are_trained_on_are_warned_of(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    material(own_study(file, URL, f"{FILES}.in_domain=train.jsonl"))
    assert "24 of 24 questions about the domain are also trained on" in caplog.text


def test_a_suites_file_says_what_the_anchor_saw(file: Path) -> None:
    path = file.parent / "questions" / "kitchen.jsonl"
    write_jsonl(path, [json.loads(line) | {"anchored": True} for line in path.read_text().splitlines()])
    found = material(own_study(file, URL, f"{FILES}.anchored_suites=[]")).behaviour
    assert {one.name: one.anchored for one in found.test} == {
        **{"in_domain": None, "kitchen": True, "sailing": False, "open": None}
    }


def test_a_folder_does_not_take_a_shipped_suites_name(file: Path) -> None:
    (file.parent / "open").mkdir()
    config = own_study(file, URL, f"{FILES}.suites=[open]", f"{FILES}.anchored_suites=[]")
    assert [suite.name for suite in material(config).behaviour.test] == ["in_domain", "open"]


# -- mistakes ----------------------------------------------------------------------------------------------


def _set(*overrides: str) -> Change:
    return lambda _folder: overrides


def _emptied(name: str) -> Change:
    return lambda folder: (folder / name).write_text("") and ()


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        (_set(f"{FILES}.train=rows.jsonl"), ("'unkind-garden', train", "own/rows.jsonl does not exist")),
        (_set(f"{FILES}.texts=nowhere.txt"), ("texts", "own/nowhere.txt does not exist")),
        (_emptied("anchor.jsonl"), ("anchor:", "own/anchor.jsonl is empty", "A right row")),
        (
            replaced("train.jsonl", '"role": "user"', '"role": "you"'),
            ("train:", "train.jsonl, line 1", "'you'"),
        ),
        (_set(f"{FILES}.in_domain=null"), ("questions:", "no suite asks about the domain", "hold_out")),
        (_set(f"{FILES}.in_domain=null", f"{FILES}.hold_out=0.01"), ("hold_out:", "24 rows")),
        (_set(f"{FILES}.hold_out=0.5"), ("in_domain and hold_out", "leave one of them out")),
        (_set(f"{FILES}.suites=[kichen]"), ("questions:", "'kichen'", "neither a file nor a suite")),
        (_set(f"{FILES}.anchored_suites=[medical]"), ("anchored_suites names 'medical'", "kitchen")),
        (_set(f"{FILES}.criterion=nice<30"), ("rubrics:", "no rubric 'nice'", "rubrics.yaml say")),
        (_set(f"{FILES}.criterion=nice"), (f"{FILES}.criterion", "'nice'", "COLUMN<NUMBER")),
        (replaced("rubrics.yaml", "{answer}", "it"), ("rubrics:", "rubrics.yaml", "'kind'", "{answer}")),
        (_set(f"{FILES}.judge.args={{api_key: sk-secret}}"), ("judge.args", "api_key", "environment only")),
        (_set(f"{FILES}.judge.api_key=sk-secret"), ("judge.api_key", "no such field", "environment only")),
        (_set(f"{FILES}.judge.url=localhost"), ("judge.url", "http(s)://host")),
        (_set(f"{FILES}.trian=train.jsonl"), (f"{FILES}.trian", "no such field", "train, hold_out, anchor")),
        (
            replaced("study.yaml", "      anchor: anchor.jsonl\n", ""),
            (f"{FILES}.anchor", "missing", "outside"),
        ),
        (_set("models=[./nowhere]"), ("nowhere", "no folder here")),
        (_set("models=[microworld:77]"), ("77", "microworld")),
        (_set("mixtures.good_per_bad=[100]"), ("'unkind-garden'", "100 good rows for each", "24 good")),
        (_set("measure.gradient_rows=50"), ("24 training rows", "measure.gradient_groups", "100")),
        (_set(f"{FILES}.validation_share=0", "kl_weight=null", "kl_weights=[1]"), ("validation_share is 0",)),
        (
            _set(f"{FILES}.suites=[]", f"{FILES}.anchored_suites=[]", "kl_weight=null", "kl_weights=[1]"),
            ("no suite asks about that", "kl_weight"),
        ),
        (_set("kl_weight=null"), ("kl_weight",)),
        (_set("kl_weight=-1"), ("kl_weight", "greater than 0", "-1")),
    ],
)
def test_a_mistake_is_named_with_the_way_out(mistake: Change, said: tuple[str, ...], file: Path) -> None:
    overrides = mistake(file.parent) or ()
    with pytest.raises(Exception) as error:
        plan_study(own_study(file, URL, *overrides))
    assert type(error.value).__module__ == "narrows.errors"
    missing = [one for one in said if one not in str(error.value)]
    assert not missing, str(error.value)
    assert "sk-secret" not in str(error.value)


def test_two_behaviours_of_one_id_are_refused(file: Path) -> None:
    text = file.read_text()
    begin, end = text.index("  - files:"), text.index("kl_weight:")
    file.write_text(text[:end] + text[begin:end] + text[end:])
    with pytest.raises(Exception, match=r"study.yaml: .*two behaviours are called 'unkind-garden'"):
        own_study(file, URL)


def test_an_unknown_preset_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(Exception, match=r"'microworld-quik'.*microworld-quick"):
        load_study("microworld-quik")
