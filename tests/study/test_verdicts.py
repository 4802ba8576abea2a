import math

import numpy as np
import pytest
from study_helpers import GRID, at, curve

from narrows.metrics import Curve
from narrows.statistics import DifferenceInterval
from narrows.study.claims.verdicts import ClaimResult, Part, curve_part, rate_part, stem


def part(low: float, high: float, rule: str = "above", margin: float = 0.05, counts: bool = True) -> Part:
    return Part("one", (low + high) / 2, (low, high), margin, rule, "share", counts)


SUPPORTED, OPEN, FAILED = part(0.1, 0.2), part(0.0, 0.2), part(0.0, 0.01)


@pytest.mark.parametrize(
    ("low", "high", "above", "below"),
    [
        (0.06, 0.08, "supported", "not-supported"),
        (math.nextafter(0.05, 1), 0.08, "supported", "not-supported"),
        (0.05, 0.08, "inconclusive", "not-supported"),  # an end on the margin is on the wrong side
        (0.04, 0.06, "inconclusive", "inconclusive"),
        (0.02, 0.05, "not-supported", "inconclusive"),
        (0.02, math.nextafter(0.05, 0), "not-supported", "supported"),
        (0.02, 0.03, "not-supported", "supported"),
        (0.05, 0.05, "not-supported", "not-supported"),
    ],
)
def test_an_interval_is_held_against_the_margin(low: float, high: float, above: str, below: str):
    assert part(low, high, "above").verdict == above
    assert part(low, high, "below").verdict == below


@pytest.mark.parametrize(
    ("estimate", "above", "below"),
    [(0.6, "supported", "not-supported"), (0.4, "not-supported", "supported")],
)
def test_without_an_interval_the_estimate_decides(estimate: float, above: str, below: str):
    assert Part("one", estimate, None, 0.5, "above", "").verdict == above
    assert Part("one", estimate, None, 0.5, "below", "").verdict == below


def test_an_estimate_that_is_no_number_supports_nothing():
    for rule in ("above", "below"):
        assert Part("one", math.nan, None, 0.5, rule, "").verdict == "inconclusive"


@pytest.mark.parametrize(
    ("parts", "verdict", "headline"),
    [
        ((SUPPORTED, SUPPORTED), "supported", 0),
        ((SUPPORTED, OPEN), "inconclusive", 1),
        ((SUPPORTED, OPEN, FAILED), "not-supported", 2),
        ((FAILED, SUPPORTED), "not-supported", 0),
        ((), "not-run", None),
    ],
)
def test_the_weakest_part_decides_and_stands_for_the_claim(parts, verdict: str, headline: int | None):
    result = ClaimResult("C1", parts)
    assert result.verdict == verdict
    assert result.headline is (None if headline is None else parts[headline])


@pytest.mark.parametrize("low", [-0.5, 0.0, 0.5])
def test_controls_never_decide(low: float):
    control = part(low, low + 0.1, counts=False)
    assert ClaimResult("C1", (SUPPORTED, control)).verdict == "supported"
    assert ClaimResult("C1", (control, FAILED)).verdict == "not-supported"
    assert ClaimResult("C1", (control, FAILED)).headline is FAILED
    assert ClaimResult("C1", (control,)).verdict == "not-run"


def test_a_claim_carries_its_headlines_numbers_into_the_summary():
    row = ClaimResult("C1", (SUPPORTED, FAILED)).as_claim("world-0", "harmful-law")
    assert (row.id, row.model, row.behaviour, row.verdict) == (
        "C1",
        "world-0",
        "harmful-law",
        "not-supported",
    )
    assert (row.estimate, row.ci95, row.margin) == (FAILED.estimate, FAILED.ci95, 0.05)
    assert row.unit == "share"


def test_a_claim_that_was_not_run_has_no_numbers():
    row = ClaimResult("C3").as_claim("world-0", "harmful-law")
    assert row.verdict == "not-run"
    assert (row.estimate, row.ci95, row.margin, row.unit) == (None, None, None, "")


@pytest.mark.parametrize(
    ("one", "rule"),
    [
        (part(0.0, 0.2), "lower bound > 0.05"),
        (part(0.0, 0.2, "below"), "upper bound < 0.05"),
        (Part("one", 0.7, None, 0.5, "above", ""), "> 0.5"),
        (Part("one", 0.7, None, 0.5, "below", ""), "< 0.5"),
    ],
)
def test_the_reading_says_the_rule(one: Part, rule: str):
    assert one.as_reading()["rule"] == rule


def test_the_reading_of_a_control_says_so_and_has_no_verdict():
    assert SUPPORTED.as_reading()["verdict"] == "supported"
    control = part(0.1, 0.2, counts=False).as_reading()
    assert (control["name"], control["verdict"]) == ("one (control)", None)


def test_the_reading_says_the_rule_for_machines_too():
    found = [one.as_reading() for one in (SUPPORTED, part(0.0, 0.2, "below", counts=False))]
    assert [(one["side"], one["counts"]) for one in found] == [("above", True), ("below", False)]


@pytest.mark.parametrize(
    "name",
    ["loss", "loss, worst of 4 points (at 2)", "loss, nearest mixture (all …)", "loss, smallest fraction …"],
)
def test_a_part_s_stem_is_its_name_without_the_place(name: str):
    assert stem(name) == "loss"


def test_a_rate_part_has_the_differences_interval_and_unit():
    found = rate_part("rate", DifferenceInterval(0.3, 0.2, 0.4, 12), 0.25, "above", counts=False)
    assert (found.estimate, found.ci95, found.margin, found.counts) == (0.3, (0.2, 0.4), 0.25, False)
    assert found.unit == "share of answers, over 12 topics"


@pytest.mark.parametrize(("rule", "sign"), [("above", 1.0), ("below", -1.0)])
def test_a_curve_is_supported_only_if_every_point_is(rule: str, sign: float):
    def verdict(mean: np.ndarray) -> str:
        return curve_part("curve", curve("one", sign * mean), rule, "nats").verdict

    assert verdict(np.full(4, 0.1)) == "supported"
    for place in range(4):
        assert verdict(at(place, 0.0, 0.1)) == "inconclusive"
        assert verdict(at(place, -0.1, 0.1)) == "not-supported"


@pytest.mark.parametrize(("rule", "sign"), [("above", 1.0), ("below", -1.0)])
def test_a_curve_is_represented_by_its_worst_point(rule: str, sign: float):
    nearest = curve("one", sign * np.array([0.3, 0.05, 0.2, 0.4]))
    found = curve_part("loss", nearest, rule, "nats")
    assert found.name == "loss, worst of 4 points (at 2)"
    assert found.estimate == pytest.approx(nearest.mean[1])
    assert found.ci95 == (nearest.low[1], nearest.high[1])
    assert (found.margin, found.rule, found.unit) == (0.0, rule, "nats")
    broken = curve_part("loss", curve("one", sign * np.array([0.3, -0.1, -0.2, 0.4])), rule, "nats")
    assert broken.name.endswith("(at 3)")


def test_a_point_that_is_surely_wrong_speaks_before_one_that_is_only_uncertain():
    samples = curve("one", np.array([0.3, -0.1, 0.0, 0.4])).samples.copy()
    samples[:, 2] *= 100  # its band reaches furthest below 0, and above it too
    found = curve_part("loss", Curve.of("one", GRID, samples), "above", "nats")
    assert found.name.endswith("(at 2)")
    assert found.verdict == "not-supported"


def test_a_curve_of_nothing_but_zeros_supports_neither_rule():
    zeros = Curve.of("zeros", GRID, np.zeros((20, 4)))
    for rule in ("above", "below"):
        assert curve_part("loss", zeros, rule, "nats").verdict == "not-supported"
