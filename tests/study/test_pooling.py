import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ttest_1samp
from study_helpers import curve

from narrows.errors import DataError
from narrows.statistics import mean_interval
from narrows.study.claims import ClaimResult, Part
from narrows.study.claims.verdicts import curve_part
from narrows.study.pooling import RunClaims, adapter_words, claim_lines, pooled
from narrows.summary import Behaviour, Summary

UNIT = "share of answers, over 12 topics"


def part(estimate: float, name: str = "rate", **changes: object) -> Part:
    made = Part(name, estimate, (estimate - 0.1, estimate + 0.1), 0.05, "above", UNIT)
    return replace(made, **changes)


def run(
    name: str, *parts: Part, id_: str = "C1", kind: str = "harmful", adapter: str = "steering"
) -> RunClaims:
    return RunClaims(name, kind, adapter, [ClaimResult(id_, parts)])


def test_a_part_is_the_mean_of_the_runs_with_student_s_t_interval_over_them():
    estimates = [0.3, 0.4, 0.1, 0.35]
    (claim,) = pooled([run(str(place), part(one)) for place, one in enumerate(estimates)])
    (found,) = claim.parts
    reference = ttest_1samp(estimates, 0).confidence_interval(0.95)
    assert found.estimate == pytest.approx(np.mean(estimates))
    assert found.ci95 == pytest.approx((reference.low, reference.high))
    assert (found.runs, found.margin, found.rule, found.counts) == (4, 0.05, "above", True)
    assert found.unit == "share of answers, mean over runs"
    assert found.tally == {"supported": 3, "inconclusive": 1}
    assert (claim.id, claim.kind, claim.adapter, claim.runs) == ("C1", "harmful", "steering", 4)
    assert claim.tally == {"supported": 3, "inconclusive": 1}


@pytest.mark.parametrize(
    ("estimates", "above", "below"),
    [
        ((0.1, 0.11, 0.12), "supported", "not-supported"),
        ((0.0, 0.1, 0.2), "inconclusive", "inconclusive"),
        ((0.0, 0.01, 0.02), "not-supported", "supported"),
    ],
)
def test_the_pooled_interval_is_held_against_the_margin_by_the_part_s_rule(estimates, above, below):
    for rule, verdict in (("above", above), ("below", below)):
        (claim,) = pooled([run(str(one), part(one, rule=rule)) for one in estimates])
        assert (claim.verdict, claim.parts[0].verdict) == (verdict, verdict)


def test_runs_that_say_nothing_alone_can_together():
    runs = [run(str(one), part(one)) for one in (0.1, 0.11, 0.12)]
    assert {one.results[0].verdict for one in runs} == {"inconclusive"}
    assert pooled(runs)[0].verdict == "supported"


def test_the_weakest_deciding_part_gives_the_claim_s_verdict_and_controls_none():
    def claim(**second: object):
        parts = [(part(one), part(0.0, "other", **second)) for one in (0.3, 0.31, 0.32)]
        (found,) = pooled([run(str(place), *pair) for place, pair in enumerate(parts)])
        return found

    assert claim().verdict == "not-supported"
    controlled = claim(counts=False)
    assert controlled.verdict == "supported"
    assert [(one.name, one.counts, one.verdict) for one in controlled.parts] == [
        ("rate", True, "supported"),
        ("other", False, None),
    ]


def test_kinds_and_adapters_are_pooled_apart_and_claims_stand_in_their_order():
    runs = [
        run(f"{id_}-{kind}-{adapter}-{place}", part(0.3), id_=id_, kind=kind, adapter=adapter)
        for id_ in ("C10", "C2")
        for kind in ("harmful", "technical")
        for adapter in ("steering", "lora, rank 1")
        for place in range(2)
    ]
    found = pooled(runs)
    assert [one.id for one in found] == ["C2"] * 4 + ["C10"] * 4
    assert {(one.kind, one.adapter, one.runs) for one in found} == {
        (kind, adapter, 2) for kind in ("harmful", "technical") for adapter in ("steering", "lora, rank 1")
    }


def test_a_curve_s_worst_point_may_be_another_in_every_run():
    rng = np.random.default_rng(0)
    parts = [curve_part("loss", curve("one", rng.uniform(0.1, 0.9, 4)), "above", "nats") for _ in range(5)]
    assert len({one.name for one in parts}) > 1
    (claim,) = pooled([run(str(place), one) for place, one in enumerate(parts)])
    (found,) = claim.parts
    assert (found.name, found.runs) == ("loss", 5)
    assert found.estimate == pytest.approx(mean_interval([one.estimate for one in parts]).mean)


def test_a_part_of_some_runs_is_pooled_over_those_and_says_how_many():
    runs = [
        run("0", part(0.3), part(0.3, "rare")),
        run("1", part(0.31), part(0.31, "rare")),
        run("2", part(0.3)),
    ]
    (claim,) = pooled(runs)
    assert [(one.name, one.runs) for one in claim.parts] == [("rate", 3), ("rare", 2)]
    assert claim.verdict == "supported"


def test_a_deciding_part_of_one_run_has_no_interval_and_leaves_the_claim_open():
    runs = [run("0", part(0.3), part(0.3, "rare")), run("1", part(0.31))]
    (claim,) = pooled(runs)
    assert [one.name for one in claim.parts] == ["rate"]
    assert claim.verdict == "inconclusive"
    control = [run("0", part(0.3), part(0.3, "rare", counts=False)), run("1", part(0.31))]
    assert pooled(control)[0].verdict == "supported"
    (alone,) = pooled([run("0", part(0.3))])
    assert (alone.verdict, alone.parts, alone.tally) == ("inconclusive", [], {"supported": 1})


def test_a_claim_that_no_run_could_decide_was_not_run():
    (claim,) = pooled([run(str(place), part(0.3, counts=False)) for place in range(3)])
    assert (claim.verdict, claim.tally) == ("not-run", {"not-run": 3})
    assert [one.tally for one in claim.parts] == [{}]


def test_a_control_s_own_margins_are_averaged_and_a_deciding_part_s_must_agree():
    def runs(**kind: object) -> list[RunClaims]:
        return [run(str(margin), part(0.3, margin=margin, **kind)) for margin in (0.1, 0.2)]

    assert pooled(runs(counts=False))[0].parts[0].margin == pytest.approx(0.15)
    with pytest.raises(DataError, match=r"C1, rate: runs with different rules \(above 0.1; above 0.2\)"):
        pooled(runs())


def test_a_run_counts_once():
    with pytest.raises(DataError, match="C1 is there twice for the run '0'"):
        pooled([run("0", part(0.3)), run("0", part(0.4))])
    assert len(pooled([run("0", part(0.3)), run("0", part(0.4), id_="C2")])) == 2


PARTS = (
    part(0.3),
    part(0.2, "loss, worst of 4 points (at 2)", rule="below"),
    part(0.6, "gap closed", ci95=None, unit="share of the gap in cosine; one run, no interval"),
    part(0.1, "beside", counts=False, rule="below"),
)


def written(folder: Path, parts: object, kind: str = "harmful") -> Path:
    folder.mkdir()
    Summary(behaviours=[Behaviour(id="b", domain="law", kind=kind)]).save(folder / "summary.json")
    (folder / "report.json").write_text(json.dumps({"claim_parts": parts}), encoding="utf-8")
    return folder


def test_a_finished_run_s_claims_are_read_back_as_they_were(tmp_path: Path):
    readings = [one.as_reading() for one in PARTS]
    folder = written(tmp_path / "1-law", {"C4": readings, "C5": []}, "technical")
    assert RunClaims.load(folder, "lora, rank 1") == RunClaims(
        "1-law", "technical", "lora, rank 1", [ClaimResult("C4", PARTS), ClaimResult("C5", ())]
    )
    assert RunClaims.load(folder, "steering", "another").run == "another"


def test_runs_from_before_the_rule_was_machine_readable_are_read_too(tmp_path: Path):
    readings = [one.as_reading() for one in PARTS]
    for one in readings:
        del one["side"], one["counts"]
    found = RunClaims.load(written(tmp_path / "old", {"C4": readings}), "steering")
    assert found.results == [ClaimResult("C4", PARTS)]


@pytest.mark.parametrize(
    "parts",
    [
        {"C1": [{"name": "rate"}]},
        {"C1": [part(0.3).as_reading() | {"estimate": "high"}]},
        {"C1": [part(0.3).as_reading() | {"side": "beside"}]},
        {"C1": [part(0.3).as_reading() | {"ci95": [0.1]}]},
        {"C1": 3},
        [],
    ],
)
def test_parts_that_are_none_are_refused_by_the_file_s_name(tmp_path: Path, parts: object):
    folder = written(tmp_path / "broken", parts)
    with pytest.raises(DataError, match=r"report\.json: claim_parts are not the parts of claims"):
        RunClaims.load(folder, "steering")


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match=r"summary\.json"):
        RunClaims.load(tmp_path, "steering")
    Summary().save(tmp_path / "summary.json")
    with pytest.raises(DataError, match="names no behaviour"):
        RunClaims.load(tmp_path, "steering")


def test_adapters_are_told_apart_in_words():
    assert [adapter_words("steering", 1), adapter_words("lora", 32)] == ["steering", "lora, rank 32"]


def test_a_pooled_claim_in_lines_of_text():
    runs = [run(str(one), part(one), part(one, "other", counts=False)) for one in (0.3, 0.31)]
    first, second, third = claim_lines(pooled(runs)[0])
    assert first == "C1 (harmful, steering): supported over 2 runs (2 supported)"
    assert second.split() == ["rate", "0.3050", "[0.2415,", "0.3685]", "supported", "(2", "supported)"]
    assert third.endswith("control")
