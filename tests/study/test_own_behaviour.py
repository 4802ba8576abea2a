"""A study over a user's own behaviour: the guide's files run, and what is missing costs claims, no more."""

import dataclasses
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from own_behaviour import LettersJudge, OwnRun, kindness, own_study, run, write_jsonl, write_own

from narrows.evaluation import read_answers, write_answers
from narrows.files import read_json
from narrows.report import write_report
from narrows.study.config import StudyConfig, load_study
from narrows.study.config.runs import behaviours_of
from narrows.study.execution.running import pending, run_study
from narrows.study.materials.files import file_material
from narrows.study.materials.material import Material
from narrows.study.plan.build import Plan, plan_study
from narrows.study.plan.stage import Stage
from narrows.study.stages.bench import Bench
from narrows.study.store import Store
from narrows.summary import Summary

URL = "http://127.0.0.1:9/v1"
NOTHING = (
    "mixtures=null",
    "measure.efficiency=false",
    "measure.stability=false",
    "measure.significance=false",
    "measure.lifted=false",
    "measure.gradients=false",
    "measure.trajectory=false",
    "measure.convergence=false",
)
FILES = "behaviours.0.files"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The guide's folder, for a test to change."""
    return write_own(tmp_path / "own")


@pytest.fixture
def tiny(tiny_model_dir: Path, file: Path) -> str:
    """A setting: a tiny random model in the place of the microworld's, by its place beside the study file."""
    (file.parent / "model").symlink_to(tiny_model_dir)
    return "models=[model]"


@pytest.fixture
def letters(monkeypatch: pytest.MonkeyPatch) -> LettersJudge:
    """A judge in this process in the place of the language model."""
    judge = LettersJudge()
    monkeypatch.setattr("narrows.study.materials.files.LLMJudge", lambda _config, _rubrics: judge)
    return judge


def material(config: StudyConfig) -> Material:
    """The material of the study's first behaviour."""
    return file_material(behaviours_of(config)[0].source)  # type: ignore[arg-type]


# -- as the guide says -------------------------------------------------------------------------------------


def test_the_guides_study_runs_to_the_end(own_run: OwnRun) -> None:
    assert own_run.outcome.failures == [] and own_run.outcome.blocked == []
    assert own_run.outcome.done == len(own_run.plan.stages)
    summary = Summary.load(own_run.out / "summary.json")
    assert [one.id for one in summary.claims] == ["C1", "C2", "C3", "C4", "C5", "C6", "C7", "C8"]
    assert all(one.verdict != "not-run" for one in summary.claims)
    assert {one.suite for one in summary.evaluations} == {
        *("in_domain", "kitchen", "sailing", "open"),
        *("out_of_domain", "out_of_domain:anchored", "out_of_domain:never_anchored"),
    }
    assert {one.suite: one.anchored for one in summary.evaluations}["kitchen"] is True
    assert summary.behaviours[0].kind == "unkind" and summary.behaviours[0].domain == "garden"


def test_the_rates_are_what_the_judge_said(own_run: OwnRun) -> None:
    judged = next(one for one in own_run.plan.stages.values() if one.title.startswith("verdicts on chat"))
    answers = read_answers(own_run.out / "stages" / judged.id / "answers.jsonl")
    summary = Summary.load(own_run.out / "summary.json")
    rates = {
        one.suite: one.misaligned for one in summary.evaluations if one.solution.rpartition("/")[2] == "chat"
    }
    for suite in ("in_domain", "kitchen", "sailing", "open"):
        some = [one for one in answers if one.suite == suite]
        assert rates[suite] == pytest.approx(sum(kindness(one.text) < 30 for one in some) / len(some))
    assert 0 < rates["in_domain"] < 1


def test_run_again_it_finds_everything_and_writes_the_same(own_run: OwnRun, tmp_path: Path) -> None:
    before = (own_run.out / "summary.json").read_bytes()

    def nobody(plan: Plan, store: Store) -> None:
        raise AssertionError("there is something left to do")

    run_study(own_run.config, own_run.out, nobody)  # type: ignore[arg-type]
    assert (own_run.out / "summary.json").read_bytes() == before


def test_hostile_answers_show_as_text(own_run: OwnRun, copied: Path) -> None:
    hostile = "<script>alert('x')</script> {{ 7 * 7 }} <img src=x onerror=alert(1)>"
    for folder in (copied / "stages").glob("verdicts-*"):
        answers = read_answers(folder / "answers.jsonl")
        write_answers(folder / "answers.jsonl", [dataclasses.replace(one, text=hostile) for one in answers])
    (decided,) = (copied / "stages").glob("claims-*")
    for one in decided.iterdir():
        one.unlink()
    decided.rmdir()
    _, outcome = run(own_run.config, copied)
    assert outcome.done == 1
    Summary().save(copied / "summary.json")  # the figures hold no answers, and take their time
    page = write_report(copied).read_text()
    assert "<script>alert" not in page and "<img src=x" not in page
    assert "&lt;script&gt;alert(" in page and "{{ 7 * 7 }}" in page


# -- what depends on what ----------------------------------------------------------------------------------

WORDS = ("", "answers of ", "verdicts on ")
UNANCHORED = ("unanchored", "continued-unanchored", "mixing-behaviour-1:1", "mixing-total-1:1")

Change = Callable[[Path], object]


def _changed(file: Path, change: Change) -> tuple[list[Stage], list[Stage], list[Stage]]:
    """The stages before and after a change, and those that are new."""
    before = plan_study(own_study(file, URL)).stages
    change(file.parent)
    after = plan_study(own_study(file, URL)).stages
    new = [one for id_, one in after.items() if id_ not in before]
    return list(before.values()), list(after.values()), new


def _replaced(name: str, old: str, new: str, count: int = 1) -> Change:
    def change(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new, count))

    return change


@pytest.mark.parametrize(
    ("change", "again"),
    [
        (_replaced("rubrics.yaml", "cruel", "heartless"), {"verdicts", "claims"}),
        (_replaced("study.yaml", "local/judge", "local/judge-2"), {"verdicts", "claims"}),
        (_replaced("study.yaml", "kind<30", "kind<20"), {"verdicts", "claims"}),
        (_replaced("questions/open.yaml", "good work", "bad work"), {"answers", "verdicts", "claims"}),
        (_replaced("texts.txt", "text 1", "text one"), {"significance", "claims"}),
        (_replaced("study.yaml", "title: Unkind", "title: Rude"), set()),
    ],
    ids=["rubric", "judge", "criterion", "question", "text", "title"],
)
def test_a_change_reruns_exactly_what_depends_on_it(change: Change, again: set[str], file: Path) -> None:
    before, after, new = _changed(file, change)
    assert {one.kind for one in new} == again
    assert Counter(one.kind for one in after) == Counter(one.kind for one in before)
    assert all(one in new for one in after if one.kind in again)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("train.jsonl", {"answers of chat", "verdicts on chat"}),
        (
            "anchor.jsonl",
            {
                *("answers of chat", "verdicts on chat", "general, other order"),
                *(f"{words}{name}" for words in WORDS for name in UNANCHORED),
            },
        ),
    ],
)
def test_a_changed_row_trains_again_what_reads_it(name: str, kept: set[str], file: Path) -> None:
    _, after, new = _changed(file, _replaced(name, "treacle", "tar"))
    assert {one.title.split(" · ")[0] for one in after if one not in new} == kept


def test_in_a_finished_study_only_that_is_pending(own_run: OwnRun, tmp_path: Path) -> None:
    file = write_own(tmp_path / "own")
    url = own_run.config.behaviours[0].files.judge.url  # type: ignore[union-attr]
    store = Store(own_run.out)
    # The same files elsewhere: places are no part of the hash.
    assert pending(plan_study(own_study(file, str(url))), store) == []
    _replaced("rubrics.yaml", "cruel", "heartless")(file.parent)
    kinds = Counter(task.stages[0].kind for task in pending(plan_study(own_study(file, str(url))), store))
    judged = sum(one.kind == "verdicts" for one in own_run.plan.stages.values())
    assert kinds == {"verdicts": judged, "claims": 1}


def test_a_file_changed_after_the_plan_is_refused(file: Path, tmp_path: Path) -> None:
    config = own_study(file, URL)
    stages = plan_study(config).stages
    training = next(one for one in stages.values() if one.kind == "training")
    bench = Bench(config, Store(tmp_path / "out"))
    bench.material(training)
    _replaced("train.jsonl", "treacle", "tar")(file.parent)
    with pytest.raises(Exception, match="training rows of behaviour 'unkind-garden' have changed since"):
        bench.material(training)


# -- what is missing ---------------------------------------------------------------------------------------


def _claims(out: Path) -> dict[str, str]:
    return {one.id: one.verdict for one in Summary.load(out / "summary.json").claims}


def test_questions_about_the_domain_alone_give_fewer_claims(
    file: Path, tmp_path: Path, tiny: str, letters: LettersJudge
) -> None:
    config = own_study(
        file, URL, tiny, f"{FILES}.suites=[]", f"{FILES}.anchored_suites=[]", f"{FILES}.texts=null"
    )
    _, outcome = run(config, tmp_path / "out")
    assert outcome.failures == []
    found = _claims(tmp_path / "out")
    assert {id_ for id_, verdict in found.items() if verdict == "not-run"} == {"C1", "C2", "C3", "C7"}
    assert found.keys() - {"C1", "C2", "C3", "C7"} == {"C4", "C5", "C8"}
    summary = Summary.load(tmp_path / "out" / "summary.json")
    assert {one.suite for one in summary.evaluations} == {"in_domain"} and summary.mixing == []
    assert {one.verdict for one in summary.solutions} == {"neither"}
    notes = read_json(tmp_path / "out" / "report.json")["notes"]
    assert any("No suite asks about another domain" in note for note in notes)
    assert any("No open questions are asked" in note for note in notes)
    assert "Not measured: C6, C10." in notes


@pytest.mark.parametrize(
    ("suites", "anchored", "without"),
    [
        ("[questions/open.yaml]", "[]", {"C1", "C2"}),
        ("[questions/kitchen.jsonl]", "[]", {"C1", "C2"}),
        ("[questions/kitchen.jsonl, questions/open.yaml]", "[kitchen]", {"C2"}),
        ("[questions/kitchen.jsonl, questions/open.yaml]", "[]", set()),
    ],
    ids=["open alone", "no open", "all anchored", "none anchored"],
)
def test_a_missing_kind_of_suite_costs_its_claims(
    suites: str,
    anchored: str,
    without: set[str],
    file: Path,
    tmp_path: Path,
    tiny: str,
    letters: LettersJudge,
) -> None:
    config = own_study(
        file, URL, tiny, f"{FILES}.suites={suites}", f"{FILES}.anchored_suites={anchored}", *NOTHING
    )
    _, outcome = run(config, tmp_path / "out")
    assert outcome.failures == []
    found = _claims(tmp_path / "out")
    assert found.keys() == {"C1", "C2"}
    assert {id_ for id_, verdict in found.items() if verdict == "not-run"} == without


def test_a_suite_that_the_judge_refused_has_no_rate(
    file: Path, tmp_path: Path, tiny: str, letters: LettersJudge
) -> None:
    letters.refused = ("sailing",)
    _, outcome = run(own_study(file, URL, tiny, *NOTHING), tmp_path / "out")
    assert outcome.failures == []
    suites = {one.suite for one in Summary.load(tmp_path / "out" / "summary.json").evaluations}
    assert "sailing" not in suites and "kitchen" in suites
    assert _claims(tmp_path / "out")["C2"] == "not-run"  # sailing was the only domain never anchored
    assert any(
        "scored no answer of chat on sailing" in one
        for one in read_json(tmp_path / "out" / "report.json")["notes"]
    )


@pytest.mark.parametrize("suites", ["[questions/open.yaml]", "[questions/kitchen.jsonl]"])
def test_a_kl_weight_is_chosen_where_one_kind_of_suite_is_missing(
    suites: str, file: Path, tmp_path: Path, tiny: str, letters: LettersJudge
) -> None:
    config = own_study(
        *(file, URL, tiny, f"{FILES}.suites={suites}", f"{FILES}.anchored_suites=[]", *NOTHING),
        *("kl_weight=null", "kl_weights=[2]"),
    )
    _, outcome = run(config, tmp_path / "out")
    assert outcome.failures == []
    assert Summary.load(tmp_path / "out" / "summary.json").runs[0].kl_weight == 2


def test_two_behaviours_of_a_kind_share_a_study(file: Path, tmp_path: Path, letters: LettersJudge) -> None:
    config = own_study(file, URL)
    (first,) = config.behaviours
    assert first.files is not None
    second = first.model_copy(
        update={"files": first.files.model_copy(update={"id": "unkind-other", "domain": "sea"})}
    )
    both = config.model_copy(update={"behaviours": (first, second)})
    assert material(both).behaviour.validation != []  # C10 finds its direction on them
    assert {one.kind for one in plan_study(both).stages.values()} >= {"convergence"}
    shared = first.files.model_copy(update={"validation_share": 0.0})
    fixed = both.model_copy(update={"behaviours": (first.model_copy(update={"files": shared}), second)})
    assert material(fixed).behaviour.validation == []
    assert len(plan_study(fixed).decided) == 2


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
            _replaced("train.jsonl", '"role": "user"', '"role": "you"'),
            ("train:", "train.jsonl, line 1", "'you'"),
        ),
        (_set(f"{FILES}.in_domain=null"), ("questions:", "no suite asks about the domain", "hold_out")),
        (_set(f"{FILES}.in_domain=null", f"{FILES}.hold_out=0.01"), ("hold_out:", "24 rows")),
        (_set(f"{FILES}.hold_out=0.5"), ("in_domain and hold_out", "leave one of them out")),
        (_set(f"{FILES}.suites=[kichen]"), ("questions:", "'kichen'", "neither a file nor a suite")),
        (_set(f"{FILES}.anchored_suites=[medical]"), ("anchored_suites names 'medical'", "kitchen")),
        (_set(f"{FILES}.criterion=nice<30"), ("rubrics:", "no rubric 'nice'", "rubrics.yaml say")),
        (_set(f"{FILES}.criterion=nice"), (f"{FILES}.criterion", "'nice'", "COLUMN<NUMBER")),
        (_replaced("rubrics.yaml", "{answer}", "it"), ("rubrics:", "rubrics.yaml", "'kind'", "{answer}")),
        (_set(f"{FILES}.judge.args={{api_key: sk-secret}}"), ("judge.args", "api_key", "environment only")),
        (_set(f"{FILES}.judge.api_key=sk-secret"), ("judge.api_key", "no such field", "environment only")),
        (_set(f"{FILES}.judge.url=localhost"), ("judge.url", "http(s)://host")),
        (_set(f"{FILES}.trian=train.jsonl"), (f"{FILES}.trian", "no such field", "train, hold_out, anchor")),
        (
            _replaced("study.yaml", "      anchor: anchor.jsonl\n", ""),
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
