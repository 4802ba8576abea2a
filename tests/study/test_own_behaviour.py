"""A study over a user's own behaviour: the guide's files run, and what is missing costs claims, no more."""

import dataclasses
from collections import Counter
from pathlib import Path

import pytest
from own_behaviour import (
    FILES,
    URL,
    Change,
    LettersJudge,
    OwnRun,
    kindness,
    own_study,
    replaced,
    run,
    write_own,
)

from narrows.evaluation import read_answers, write_answers
from narrows.files import read_json, write_json
from narrows.report import write_report
from narrows.study.config import StudyConfig
from narrows.study.config.runs import behaviours_of
from narrows.study.execution.running import pending, run_study
from narrows.study.materials.files import file_material
from narrows.study.materials.material import Material
from narrows.study.plan.build import Plan, plan_study
from narrows.study.plan.stage import Stage
from narrows.study.results.verify import verify
from narrows.study.stages.bench import Bench
from narrows.study.store import Store
from narrows.summary import Summary

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


def _changed(file: Path, change: Change) -> tuple[list[Stage], list[Stage], list[Stage]]:
    """The stages before and after a change, and those that are new."""
    before = plan_study(own_study(file, URL)).stages
    change(file.parent)
    after = plan_study(own_study(file, URL)).stages
    new = [one for id_, one in after.items() if id_ not in before]
    return list(before.values()), list(after.values()), new


@pytest.mark.parametrize(
    ("change", "again"),
    [
        (replaced("rubrics.yaml", "cruel", "heartless"), {"verdicts", "claims"}),
        (replaced("study.yaml", "local/judge", "local/judge-2"), {"verdicts", "claims"}),
        (replaced("study.yaml", "kind<30", "kind<20"), {"verdicts", "claims"}),
        (replaced("questions/open.yaml", "good work", "bad work"), {"answers", "verdicts", "claims"}),
        (replaced("texts.txt", "text 1", "text one"), {"significance", "claims"}),
        (replaced("study.yaml", "title: Unkind", "title: Rude"), set()),
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
    _, after, new = _changed(file, replaced(name, "treacle", "tar"))
    assert {one.title.split(" · ")[0] for one in after if one not in new} == kept


def test_in_a_finished_study_only_that_is_pending(own_run: OwnRun, tmp_path: Path) -> None:
    file = write_own(tmp_path / "own")
    url = own_run.config.behaviours[0].files.judge.url  # type: ignore[union-attr]
    store = Store(own_run.out)
    # The same files elsewhere: places are no part of the hash.
    assert pending(plan_study(own_study(file, str(url))), store) == []
    replaced("rubrics.yaml", "cruel", "heartless")(file.parent)
    kinds = Counter(task.stages[0].kind for task in pending(plan_study(own_study(file, str(url))), store))
    judged = sum(one.kind == "verdicts" for one in own_run.plan.stages.values())
    assert kinds == {"verdicts": judged, "claims": 1}


def test_a_file_changed_after_the_plan_is_refused(file: Path, tmp_path: Path) -> None:
    config = own_study(file, URL)
    stages = plan_study(config).stages
    training = next(one for one in stages.values() if one.kind == "training")
    bench = Bench(config, Store(tmp_path / "out"))
    bench.material(training)
    replaced("train.jsonl", "treacle", "tar")(file.parent)
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
    assert verify(tmp_path / "out", lambda _: None).agrees
    (path,) = (tmp_path / "out" / "stages").glob("choice-*/choice.json")
    values = read_json(path)
    values["trials"][0]["outside"] += 0.01
    write_json(path, values)
    fields = [one.field for one in verify(tmp_path / "out", lambda _: None).mismatches]
    assert "trials[0].outside" in fields


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
