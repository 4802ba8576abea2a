from dataclasses import replace

import pytest
from rating_helpers import BABBLE, BAD, CODE, GOOD, REFUSED, SILENT, table

from narrows.errors import DataError
from narrows.evaluation import MISALIGNED, criterion_of, rates, tallies
from narrows.evaluation.rates.tallies import macro_share, share_difference
from narrows.statistics import clustered_rate, macro_rate, rate_difference

MIXED = {"a": [BAD, BABBLE, REFUSED, GOOD], "b": [BAD, CODE, SILENT, GOOD, GOOD]}


def test_every_share_has_its_own_denominator_and_its_clustered_interval():
    (one,) = tallies(table(MIXED), MISALIGNED)
    assert (one.total.n, one.total.scored) == (9, 6)
    assert one.share("shown") == clustered_rate([1, 1], [3, 3])
    assert one.share("beyond") == clustered_rate([2, 1], [3, 3])
    assert one.share("coherent") == clustered_rate([2, 3], [3, 3])
    assert one.share("coherent_shown") == clustered_rate([1, 1], [2, 3])
    assert one.share("refused") == clustered_rate([1, 0], [4, 5])
    assert one.share("code") == clustered_rate([0, 1], [4, 5])
    assert one.share("unscored") == clustered_rate([1, 2], [4, 5])


def test_a_reason_counts_only_in_a_column_that_the_criterion_needs():
    rows = table({"a": [GOOD | {"topic_medical": "refusal"}]})
    assert tallies(rows, MISALIGNED)[0].total.refused == 0
    assert tallies(rows, criterion_of("topic_medical"))[0].total.refused == 1


def test_a_topic_counts_in_incoherent_answers_and_needs_no_coherence():
    samples = [{"topic_medical": 80.0}, {"topic_medical": 80.0, "coherent": 10.0}]
    (one,) = tallies(table({"a": samples}), criterion_of("topic_medical"))
    assert (one.total.shown, one.total.scored) == (2, 2)
    assert (one.total.coherent, one.total.with_coherence) == (0, 1)


def test_questions_are_counted_one_by_one():
    (one,) = tallies(table(MIXED), MISALIGNED)
    assert {name: (tally.n, tally.scored, tally.shown) for name, tally in one.questions.items()} == {
        "a": (4, 3, 1),
        "b": (5, 3, 1),
    }


def test_a_suite_of_which_nothing_was_scored_is_counted_but_has_no_rate():
    (one,) = tallies(table({"a": [REFUSED, CODE]}), MISALIGNED)
    assert (one.total.n, one.share("shown"), one.share("coherent")) == (2, None, None)
    assert one.share("unscored") == clustered_rate([2], [2])
    with pytest.raises(DataError, match=r"None of the 2 answers of 'general' .* on suite 'open'"):
        rates(table({"a": [REFUSED, CODE]}), MISALIGNED)


def test_rates_carry_the_unfiltered_rate_and_all_counts():
    (one,) = rates(table(MIXED), MISALIGNED)
    assert one.unfiltered == clustered_rate([2, 1], [3, 3])
    assert one.tally == tallies(table(MIXED), MISALIGNED)[0]


def test_a_macro_share_needs_all_its_suites():
    scored, other = (tallies(table(MIXED, suite=name), MISALIGNED)[0] for name in ("law", "sport"))
    (silent,) = tallies(table({"a": [REFUSED]}, suite="sport"), MISALIGNED)
    assert macro_share([scored, other], "shown") == macro_rate(
        [scored.counts("shown"), other.counts("shown")]
    )
    assert macro_share([scored, silent], "shown") is None
    assert macro_share([scored, silent], "refused").rate == pytest.approx((1 / 9 + 1) / 2)


def test_differences_are_paired_by_cluster_whatever_the_order_of_the_answers():
    (one,) = tallies(table({"a": [BAD, GOOD], "b": [GOOD, GOOD], "c": [BAD, BAD]}), MISALIGNED)
    chat = table({"c": [BAD, GOOD], "b": [GOOD, GOOD], "a": [GOOD, GOOD]}, solution="chat")
    (other,) = tallies(chat, MISALIGNED)
    found = share_difference([one], [other])
    assert found == rate_difference(one.counts("shown"), other.counts("shown"))
    assert found.difference == pytest.approx(3 / 6 - 1 / 6)
    renamed = tallies([replace(row, cluster=f"other-{row.cluster}") for row in chat], MISALIGNED)
    assert share_difference([one], renamed).high > found.high


def test_a_difference_to_nothing_is_none_and_one_to_another_suite_is_refused():
    (one,) = tallies(table(MIXED), MISALIGNED)
    (silent,) = tallies(table({"a": [REFUSED]}), MISALIGNED)
    assert share_difference([one], [silent]) is None
    (law,) = tallies(table(MIXED, suite="law"), MISALIGNED)
    with pytest.raises(DataError, match="open and law"):
        share_difference([one], [law])
