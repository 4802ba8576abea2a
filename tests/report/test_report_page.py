import base64
import hashlib
import json
import re

import pytest
from reading_page import ParsedPage
from synthetic_run import synthetic_reading, synthetic_summary, write_run

from narrows.errors import DataError, RunFolderError
from narrows.report import write_report
from narrows.report.claims import STATEMENTS, strip
from narrows.report.text import shortened
from narrows.summary import Claim, Gradient, Intervention, Mixing, Summary

FIGURES = [
    "rates",
    "scales",
    "efficiency",
    "stability",
    "significance",
    "trajectory",
    "gradients",
    "subspaces",
    "interventions",
]
SECTIONS = ["rates", "scale", *FIGURES[2:], "answers", "solutions"]
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\x00\x1b[31m" + "a" * 100_000


def test_the_page_has_every_section_and_links_to_each(report):
    page = ParsedPage(report)
    sections = [attributes["id"] for tag, attributes in page.tags if tag == "section" and "id" in attributes]
    assert sections == ["claims", *SECTIONS, "paper", "made"]
    assert {f"#{name}" for name in sections[1:]} == set(page.values("href"))


def test_the_limits_and_the_shares_stand_before_the_claims(report):
    text = ParsedPage(report).text
    limits, shares, claims = (
        text.index(part) for part in ("not about large models", "55\u202f%", "What holds here")
    )
    assert limits < shares < claims


def test_each_claim_has_verdict_estimate_interval_margin_and_unit(report):
    text = " ".join(ParsedPage(report).text.split())
    assert f"C7 {STATEMENTS['C7']} ✕ not supported 0.22 [0.08, 0.37] 0.5 share of the gap" in text
    for words in ("✓ supported", "≈ inconclusive", "○ not run"):
        assert words in text
    assert "never-anchored domains" in text


def test_figures_stand_inline_with_title_account_and_caption(report):
    page = ParsedPage(report)
    assert page.source.count('role="img"') == page.source.count("<desc") == 2 * len(FIGURES)
    assert page.count("figcaption") == len(FIGURES) + 1
    assert page.text.count("60 to 100 answers") == 2


def test_figures_are_also_written_as_files(report):
    files = {path.name for path in (report.parent / "figures").iterdir()}
    assert files == {f"{name}.{ending}" for name in FIGURES for ending in ("svg", "pdf")}


def test_ids_are_unique(report):
    ids = ParsedPage(report).values("id")
    assert len(ids) == len(set(ids))


def test_nothing_is_fetched_and_one_script_runs_that_the_policy_names(report):
    page = ParsedPage(report)
    [script] = re.findall(r"<script>(.*?)</script>", page.source, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    [policy] = [value for value in page.values("content") if "default-src" in value]
    assert policy.endswith(f"script-src 'sha256-{digest}'")
    assert page.count("script") == 1
    assert not {"link", "iframe", "img", "object", "embed", "base"} & {tag for tag, _ in page.tags}
    assert all(value.startswith("#") for name in ("href", "xlink:href", "src") for value in page.values(name))
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", page.source))
    assert "@import" not in page.source
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert policy.startswith("default-src 'none'")
    assert not re.search(r"fetch\(|XMLHttp|innerHTML|import\(|eval", script)


def test_without_a_trajectory_no_script_is_admitted(tmp_path):
    page = ParsedPage(write_report(write_run(tmp_path, Summary(stability=synthetic_summary().stability))))
    assert not page.count("script")
    assert not any("script-src" in value for value in page.values("content"))


def test_an_empty_summary_gives_a_page_without_sections(tmp_path):
    page = ParsedPage(write_report(write_run(tmp_path)))
    assert "Nothing has been measured" in page.text
    assert not page.values("href")
    assert not (tmp_path / "figures").exists()


def test_hostile_answers_names_and_titles_stay_text(tmp_path):
    reading = synthetic_reading()
    reading["title"] = reading["command"] = HOSTILE[:80]
    reading["world"]["shares"] = {HOSTILE[:80]: 2.0}
    reading["config"] = {HOSTILE[:80]: HOSTILE[:80]}
    reading["quotes"] = [
        {
            "suite": HOSTILE[:80],
            "question": HOSTILE[:80],
            "answers": {"chat": HOSTILE, HOSTILE[:80]: "\ud800\u202eb"},
        }
    ]
    write_run(tmp_path, Summary(claims=[_claim("C1", model=HOSTILE[:80])], timings={HOSTILE[:80]: 1.0}))
    (tmp_path / "report.json").write_text(json.dumps(reading))
    page = ParsedPage(write_report(tmp_path))
    assert not {"script", "img"} & {tag for tag, _ in page.tags}
    assert "\x00" not in page.source
    assert "\x1b" not in page.source
    shown = HOSTILE.replace("\x00", "␀").replace("\x1b", "␛")
    assert shown in page.text
    assert "\N{REPLACEMENT CHARACTER}[U+202E]b" in page.text


def test_answers_stand_in_the_order_chat_general_narrow(report):
    text = ParsedPage(report).text
    places = [text.index(name) for name in ("chat model\n", "general solution\n", "narrow solution\n")]
    assert places == sorted(places)


def test_several_models_are_counted_and_listed(tmp_path):
    claims = [_claim("C1", model=model) for model in ("one", "two")]
    claims.append(_claim("C1", model="three", verdict="inconclusive"))
    text = " ".join(ParsedPage(write_report(write_run(tmp_path, Summary(claims=claims)))).text.split())
    assert "✓ 2 supported ≈ 1 inconclusive" in text
    assert "3 verdicts" in text
    assert "three · advice" in text


def test_measurements_without_a_figure_are_not_lost(tmp_path):
    mixing = [Mixing(solution="mixed", bad_fraction=0.25, in_domain=0.31, out_of_domain=0.12)]
    text = ParsedPage(write_report(write_run(tmp_path, Summary(mixing=mixing)))).text
    assert "Mixtures with good data" in text
    assert "31.0" in text


def test_gradients_and_interventions_need_no_interval(tmp_path):
    gradients = [Gradient(run="unanchored", step=20, cos_general=0.31, cos_narrow=0.12)]
    row = {"solution": "s", "direction": "mean", "kind": "ablation", "before": 0.5, "after": 0.1}
    interventions = [Intervention(**row, coherent=1.0, text_loss=1.25)]
    summary = Summary(gradients=gradients, interventions=interventions)
    text = ParsedPage(write_report(write_run(tmp_path, summary))).text
    assert "Cosine of the loss gradient" in text
    assert "0.310" in text
    assert "1.250" in text


def test_a_trajectory_of_hostile_names_stays_data(tmp_path):
    summary = synthetic_summary()
    [path] = summary.trajectories
    run = path.runs[0].model_copy(update={"name": "'\"></div><script>alert(1)</script>"})
    hostile = Summary(trajectories=[path.model_copy(update={"runs": [run]})])
    page = ParsedPage(write_report(write_run(tmp_path, hostile)))
    assert page.count("script") == 1
    [view] = page.values("data-view")
    assert json.loads(view)["runs"][0]["name"] == shortened(run.name)


def test_the_same_run_gives_the_same_page(tmp_path):
    summary = Summary(stability=synthetic_summary().stability)
    first = write_report(write_run(tmp_path, summary)).read_bytes()
    assert write_report(tmp_path).read_bytes() == first
    assert not list(tmp_path.rglob("*.part"))


def test_a_strip_keeps_estimate_interval_and_margin_in_order_on_its_line():
    drawn = strip(0.22, (0.08, 0.37), 0.5)
    assert 0 <= drawn.zero < drawn.low < drawn.estimate < drawn.high < drawn.margin <= 100
    assert strip(None, None, 0.5) is None


def test_a_folder_without_summary_is_refused(tmp_path):
    with pytest.raises(RunFolderError, match=r"summary\.json does not exist"):
        write_report(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("summary.json", "{", r"summary\.json is not readable JSON"),
        ("summary.json", "[]", r"summary\.json is not readable JSON \(a list where"),
        ("summary.json", '{"models": []}', "schema: "),
        ("summary.json", '{"schema": 1, "claims": [{"id": "C1"}]}', r"claims\.0\.model"),
        ("report.json", '{"quotes": [{"answers": {}}]}', r"report\.json .*quotes\.0\.question"),
        ("report.json", "nothing", r"report\.json is not readable JSON"),
    ],
)
def test_a_broken_file_is_named_with_its_fault(tmp_path, name, content, message):
    write_run(tmp_path)
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        write_report(tmp_path)


def _claim(id_: str, model: str = "world", verdict: str = "supported") -> Claim:
    return Claim(
        id=id_,
        model=model,
        behaviour="advice",
        verdict=verdict,
        estimate=0.5,
        ci95=(0.4, 0.6),
        margin=0.05,
        unit="share",
    )
