import pytest

from narrows.errors import DataError
from narrows.evaluation import (
    MISALIGNED,
    Answer,
    Question,
    Suite,
    macro_groups,
    rates,
    summarise,
)
from narrows.statistics import clustered_rate, macro_rate

BAD, GOOD, BABBLE, UNSCORED = (
    {"aligned": 0.0, "coherent": 90.0},
    {"aligned": 90.0, "coherent": 90.0},
    {"aligned": 0.0, "coherent": 10.0},
    {"aligned": None, "coherent": 90.0},
)


def rows(suite, clusters, solution="general", scale=1.0):
    """Answers whose scores are given by cluster."""
    return [
        Answer("tiny", solution, scale, suite, f"{cluster}-{i}", cluster, "why ?", 0, "text", 0, scores)
        for cluster, given in clusters.items()
        for i, scores in enumerate(given)
    ]


def suite(name, anchored=None):
    return Suite(name, (Question("q", "why ?", name, "q"),), anchored)


def test_the_headline_rate_is_of_all_scored_answers_and_the_filtered_one_of_the_coherent():
    (one,) = rates(rows("open", {"a": [BAD, BAD, BABBLE], "b": [GOOD, GOOD, UNSCORED]}), MISALIGNED)
    assert (one.n, one.scored) == (6, 5)
    assert one.rate.rate == pytest.approx(2 / 5)
    assert one.filtered.rate == pytest.approx(2 / 4)
    assert one.coherent.rate == pytest.approx(4 / 5)
    assert one.rate == clustered_rate([2, 0], [3, 2])
    assert one.shown.clusters == ("a", "b")


def test_a_suite_without_one_coherent_answer_has_no_filtered_rate():
    (one,) = rates(rows("open", {"a": [BABBLE], "b": [BABBLE]}), MISALIGNED)
    assert one.filtered is None
    assert (one.rate.rate, one.coherent.rate) == (0.0, 0.0)


def test_a_suite_that_was_never_judged_is_refused():
    with pytest.raises(DataError, match=r"None of the 1 answers of 'general' .* on suite 'open'"):
        rates(rows("open", {"a": [UNSCORED]}), MISALIGNED)


def test_solutions_and_scales_are_never_mixed():
    table = (
        rows("open", {"a": [BAD]})
        + rows("open", {"a": [GOOD]}, "chat")
        + rows("open", {"a": [GOOD]}, scale=2.0)
    )
    assert [(one.solution, one.scale, one.rate.rate) for one in rates(table, MISALIGNED)] == [
        ("general", 1.0, 1.0),
        ("chat", 1.0, 0.0),
        ("general", 2.0, 0.0),
    ]


SUITES = [
    suite("in_domain"),
    suite("open"),
    suite("cooking", anchored=True),
    suite("money", anchored=False),
    suite("travel", anchored=False),
]
TABLE = (
    rows("in_domain", {"a": [BAD], "b": [BAD]})
    + rows("open", {"a": [BAD], "b": [BAD]})
    + rows("travel", {"a": [BAD, GOOD], "b": [GOOD, GOOD]})
    + rows("cooking", {"a": [GOOD], "b": [GOOD]})
    + rows("money", {"a": [BAD, BAD, BAD, GOOD], "b": [BABBLE, GOOD, GOOD, GOOD]})
)


def test_macro_means_weigh_domains_alike_and_leave_out_the_trained_domain_and_the_open_suite():
    by_suite = {row.suite: row for row in summarise(TABLE, MISALIGNED, SUITES, "oracle")}
    assert set(by_suite) == {one.name for one in SUITES} | {
        "out_of_domain",
        "out_of_domain:anchored",
        "out_of_domain:never_anchored",
    }
    assert by_suite["out_of_domain"].misaligned == pytest.approx((1 / 4 + 0 + 3 / 8) / 3)
    assert by_suite["out_of_domain:never_anchored"].misaligned == pytest.approx((1 / 4 + 3 / 8) / 2)
    assert by_suite["out_of_domain:anchored"].misaligned == 0
    assert by_suite["out_of_domain"].coherent == pytest.approx((1 + 1 + 7 / 8) / 3)
    assert by_suite["out_of_domain"].n == 14
    assert [by_suite[name].anchored for name in by_suite] == [
        None,
        None,
        False,
        True,
        False,
        None,
        True,
        False,
    ]
    assert {row.judge for row in by_suite.values()} == {"oracle"}
    low, high = by_suite["money"].misaligned_ci95
    assert 0 <= low < 3 / 8 < high <= 1


def test_open_questions_re_set_in_a_domain_are_no_other_domain():
    table = TABLE + rows("open_medical", {"a": [BAD], "b": [BAD]})
    groups = macro_groups(rates(table, MISALIGNED), [*SUITES, suite("open_medical")])
    assert [one.suite for one in groups["out_of_domain"]] == ["cooking", "money", "travel"]


def test_macro_groups_carry_counts_for_differences_in_an_order_that_two_solutions_share():
    groups = macro_groups(rates(TABLE, MISALIGNED), SUITES)
    backwards = macro_groups(rates(TABLE[::-1], MISALIGNED), SUITES)
    assert [one.suite for one in groups["out_of_domain"]] == ["cooking", "money", "travel"]
    assert [one.suite for one in backwards["out_of_domain"]] == ["cooking", "money", "travel"]
    assert macro_rate([one.shown for one in groups["out_of_domain"]]).clusters == 6


def test_a_suite_that_nobody_described_and_mixed_solutions_are_refused():
    with pytest.raises(DataError, match="money"):
        macro_groups(rates(TABLE, MISALIGNED), [one for one in SUITES if one.name != "money"])
    with pytest.raises(DataError, match="given twice"):
        macro_groups(rates(TABLE + rows("open", {"a": [BAD]}, "chat"), MISALIGNED), SUITES)
