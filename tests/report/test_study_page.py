import csv
import io
import re

import pytest
from reading_page import ParsedPage
from synthetic_run import synthetic_summary, write_run
from synthetic_study import study_reading, synthetic_study

from narrows.report import figures
from narrows.report.over_runs import Study
from narrows.report.page import MOST_QUOTES, rendered, write_report
from narrows.report.pdf import PRINT_INK, to_pdf
from narrows.report.sections import measured_sections
from narrows.report.study_curves import (
    SHARE_LABEL,
    CurveView,
    curves_over_runs,
    efficiency_points,
    mean_curves,
)
from narrows.report.study_further import interventions_section, runs_table, solutions_over_runs
from narrows.report.style import INK
from narrows.report.tables import MOST_ROWS, Table
from narrows.summary import Summary

FIGURES = {
    "rates-harmful", "rates-technical", "frontier-harmful", "frontier-technical", "mixing-harmful",
    "mixing-technical", "efficiency-harmful", "trajectory",
}  # fmt: skip
HOSTILE = "</script><script>alert(1)</script>"


def test_the_claims_stand_first_with_the_papers_numbers_beside_them(study_report):
    page = ParsedPage(study_report)
    sections = [attributes["id"] for tag, attributes in page.tags if tag == "section" and "id" in attributes]
    assert sections == [
        "claims", "rates", "frontier", "mixing", "efficiency", "trajectory", "costs", "answers",
        "solutions", "paper", "made",
    ]  # fmt: skip
    text = " ".join(page.text.split())
    assert (
        text.index("not about large models") < text.index("What holds here") < text.index("Rates by domain")
    )
    first = text[text.index("C1 ") : text.index("C2 ")]
    assert "28 %, in domain 52 %" in first
    assert re.search(r"steering vector ✓ supported \d\d\.\d % \[\d\d\.\d %, \d\d\.\d %\] > 5 %", first)
    assert "2 ✓supported" in first
    assert "world-2 · medicine" in first
    assert "Qwen2.5-14B-Instruct" in text


def test_figures_are_files_for_screens_and_for_print(study_report):
    page = ParsedPage(study_report)
    files = {path.name for path in (study_report.parent / "figures").iterdir()}
    assert files == {f"{name}.{ending}" for name in FIGURES for ending in ("svg", "pdf")}
    assert page.source.count('role="img"') == page.source.count("<desc") == 2 * len(FIGURES)
    assert page.count("figcaption") == len(FIGURES) + 1
    assert {text for text in page.pieces if text in ("Harmful", "Technical")} == {"Harmful", "Technical"}


def test_numbers_on_the_page_are_those_of_the_files(study_report):
    tables = study_report.parent / "tables"
    page = " ".join(ParsedPage(study_report).text.split())
    with (tables / "mixing-over-runs.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == 2 * 2 * 2 * 5
    for row in rows[:5]:
        assert f"{100 * float(row['in domain, mean over runs (fraction)']):.1f} %" in page
    names = {path.name for path in tables.iterdir()}
    assert {
        "evaluations.csv",
        "costs.csv",
        "frontier.csv",
        "rates-over-runs.csv",
        "solutions-over-runs.csv",
    } <= names
    for name in set(re.findall(r"tables/([\w-]+\.csv)", page)):
        assert name in names


def test_nothing_is_fetched_and_only_the_turntable_runs(study_report):
    page = ParsedPage(study_report)
    assert page.count("script") == 1
    assert not {"link", "iframe", "img", "object", "embed", "base"} & {tag for tag, _ in page.tags}
    assert all(value.startswith("#") for name in ("href", "xlink:href", "src") for value in page.values(name))
    ids = page.values("id")
    assert len(ids) == len(set(ids))


def test_the_same_summary_gives_the_same_files(tmp_path):
    summary = synthetic_study(2, 1, kinds=("harmful",), adapters=("steering",))
    few = {name: getattr(summary, name) for name in ("runs", "solutions", "behaviours", "mixing", "pooled")}
    write_run(tmp_path, Summary(**few), study_reading())
    first = rendered(tmp_path)
    assert rendered(tmp_path) == first
    assert not (tmp_path / "report.html").exists()
    write_report(tmp_path)
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*")} - {
        "summary.json",
        "report.json",
    } == set(first)
    assert all((tmp_path / name).read_bytes() == content for name, content in first.items())
    assert list(first)[-1] == "report.html"
    pdf = first["figures/mixing.pdf"]
    assert pdf.startswith(b"%PDF")
    assert not re.search(rb"/(CreationDate|ModDate|Producer)", pdf)


def test_print_has_dark_ink_and_keeps_the_roles_colours():
    study = Study(synthetic_study(2, 1, kinds=("harmful",), adapters=("steering",)))
    figure = curves_over_runs(CurveView(mean_curves(study, efficiency_points(study)), SHARE_LABEL, "loss"))
    before = [line.get_color() for line in figure.axes[0].lines]
    to_pdf(figure)
    assert {text.get_color() for text in figure.axes[0].get_xticklabels()} == {PRINT_INK}
    assert figure.axes[0].title.get_color() == PRINT_INK
    assert [line.get_color() for line in figure.axes[0].lines] == before
    assert INK not in before
    plain = figures.subspaces(synthetic_summary())
    to_pdf(plain)
    assert plain.axes[1].lines[0].get_color() == PRINT_INK


def test_hostile_names_of_a_study_stay_text(tmp_path):
    summary = synthetic_study(2, 1, kinds=("harmful",), adapters=("steering",))
    text = summary.model_dump_json()
    for word in (
        "harmful-medicine",
        "world-1",
        "unanchored, other domains",
        '"medicine"',
        "share of answers",
    ):
        text = text.replace(word.strip('"'), HOSTILE.replace("/", "\\u002f") + word.strip('"'))
    hostile = Summary.model_validate_json(text)
    few = {
        name: []
        for name in ("efficiency", "stability", "significance", "gradients", "trajectories", "mitigations")
    }
    reading = study_reading()
    reading["quotes"][0]["run"] = HOSTILE
    page = ParsedPage(write_report(write_run(tmp_path, hostile.model_copy(update=few), reading)))
    assert not page.count("script")
    assert HOSTILE in page.text
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert all(re.fullmatch(r"[a-z0-9-]+\.(svg|pdf)", name) for name in names)


def test_a_long_table_and_many_answers_are_cut_with_a_word_about_the_rest(tmp_path):
    table = Table("x", ("a",), [(str(k),) for k in range(MOST_ROWS + 5)], file="tables/x.csv")
    assert len(table.shown) == MOST_ROWS
    assert table.note == f"The first {MOST_ROWS} of {MOST_ROWS + 5} rows. In full numbers: tables/x.csv"
    assert Table("x", ("a",), [("1",)]).note == ""
    reading = study_reading()
    reading["quotes"] = [
        {**reading["quotes"][0], "question": f"Question {k}?"} for k in range(MOST_QUOTES + 3)
    ]
    text = ParsedPage(write_report(write_run(tmp_path, Summary(), reading))).text
    assert f"Question {MOST_QUOTES - 1}?" in text
    assert f"Question {MOST_QUOTES}?" not in text
    assert "3 more in report.json" in text


def test_interventions_are_pooled_over_the_runs_of_each_adapter():
    study = Study(synthetic_study(2, 1, kinds=("harmful",), adapters=("steering", "rank-1")))
    section = interventions_section(study)
    [table] = section.tables
    assert [row[0] for row in table.rows] == ["steering vector"] * 2 + ["rank-1 LoRA"] * 2
    assert section.pictures[0].caption.heading == "Harmful: means over 2 runs"


def test_solutions_are_counted_by_what_became_of_them():
    study = Study(synthetic_study(2, 1, kinds=("harmful",), adapters=("steering",)))
    table, sheet = solutions_over_runs(study)
    rows = {row[2]: row for row in table.rows}
    assert rows["unanchored"][3:7] == ("2", "0", "2", "0")
    assert rows["anchored"][3:7] == ("2", "2", "0", "0")
    assert set(rows) == {
        "unanchored",
        "anchored",
        "lifted",
        "continued-anchored",
        "continued-unanchored",
        "added",
    }
    assert len(sheet.rows) == len(study.summary.solutions) / 2  # with every λ and mixture
    assert len(runs_table(study).rows) == 2


def test_a_study_of_one_run_looks_like_a_run_and_has_its_frontier_too():
    summary = synthetic_study(1, 1, kinds=("harmful",), adapters=("steering",))
    fields = ("runs", "solutions", "behaviours", "mixing", "trajectories", "costs")
    few = Summary(**{name: getattr(summary, name) for name in fields})
    few = few.model_copy(update={"evaluations": [row for row in summary.evaluations if row.scale == 1]})
    sections = {one.id: one for one in measured_sections(few)}
    assert list(sections) == ["rates", "frontier", "mixing", "trajectory", "costs"]
    [trajectory], [table] = sections["trajectory"].pictures, sections["trajectory"].tables
    assert trajectory.caption.heading == ""
    assert {row[0] for row in table.rows} == {"lifted", "continued-anchored", "continued-unanchored"}
    assert sections["rates"].title == "Rates by suite"
    assert "One run of each adapter" in sections["mixing"].pictures[0].caption.data
    [sheet] = sections["mixing"].sheets
    row = next(csv.DictReader(io.StringIO(sheet.csv().decode())))
    assert float(row["in domain, 95 % low (fraction)"]) == few.mixing[0].in_domain_ci95[0]


@pytest.mark.parametrize("kinds", [("harmful",), ("harmful", "technical")])
def test_kinds_have_figures_of_their_own_only_where_there_are_several(kinds):
    summary = synthetic_study(2, 1, kinds=kinds, adapters=("steering",))
    few = {name: getattr(summary, name) for name in ("runs", "solutions", "behaviours", "mixing")}
    [section] = measured_sections(Summary(**few))
    assert [picture.name for picture in section.pictures] == (
        ["mixing"] if len(kinds) == 1 else ["mixing-harmful", "mixing-technical"]
    )
