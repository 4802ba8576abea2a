import pytest
from synthetic_study import synthetic_study

from narrows.report.over_runs import Study, adapter_title, rate_spread, slugs, spread
from narrows.statistics import mean_interval
from narrows.summary import Summary


def test_a_mean_over_runs_has_students_interval():
    values = [0.2, 0.5, 0.4]
    found, expected = spread(values), mean_interval(values)
    assert (found.mean, found.ci95, found.runs) == (expected.mean, (expected.low, expected.high), 3)


def test_the_interval_of_a_rate_is_cut_at_0_and_1_but_holds_its_mean():
    found = rate_spread([0.0, 0.3])
    assert found.ci95[0] == 0
    assert found.ci95[1] == 1
    assert rate_spread([1.0, 1.0]).ci95 == (1.0, 1.0)


def test_one_run_has_its_own_interval_or_none():
    assert rate_spread([0.4], (0.3, 0.6)).ci95 == (0.3, 0.6)
    assert spread([0.4]).ci95 is None
    assert (spread([0.4]).low, spread([0.4]).high) == (0.4, 0.4)


def test_runs_are_grouped_by_kind_and_adapter_with_steering_first_and_ranks_by_size():
    study = Study(synthetic_study(2, 2))
    assert [(group.kind, group.adapter) for group in study.groups] == [
        (kind, adapter)
        for kind in ("harmful", "technical")
        for adapter in ("steering", "lora, rank 1", "lora, rank 32")
    ]
    assert {len(group.runs) for group in study.groups} == {4}
    runs = synthetic_study(1, 1).runs
    runs = [
        run.model_copy(update={"id": str(rank), "adapter": "lora", "rank": rank})
        for rank in (16, 2)
        for run in runs[:1]
    ]
    assert [group.title for group in Study(Summary(runs=runs)).groups] == ["rank-2 LoRA", "rank-16 LoRA"]


def test_a_row_belongs_to_the_run_before_its_slash_only_where_there_is_such_a_run():
    study = Study(synthetic_study(1, 1))
    run = study.summary.runs[0].id
    assert study.place(f"{run}/anchored-8") == (run, "anchored-8")
    assert study.place("elsewhere/anchored") == ("", "elsewhere/anchored")
    assert study.place("anchored") == ("", "anchored")


@pytest.mark.parametrize(
    "kinds", [["../../etc", "<b>", "harmful", "Harmful!"], ["a" * 99, "a" * 98], ["", "ü"]]
)
def test_names_of_files_are_safe_and_never_the_same(kinds):
    found = slugs(kinds)
    assert len(set(found.values())) == len(kinds)
    assert all(
        slug.removeprefix("-").replace("-", "").isalnum() and slug.isascii() for slug in found.values()
    )
    assert slugs(["one"]) == {"one": ""}


def test_adapters_are_named_as_people_do():
    assert adapter_title("steering") == "steering vector"
    assert adapter_title("lora, rank 32") == "rank-32 LoRA"
    assert adapter_title("<b>") == "<b>"
