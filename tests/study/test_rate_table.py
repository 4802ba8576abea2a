import numpy as np
import pytest
from study_helpers import SUITES, everywhere, suite_rates, table

from narrows.errors import DataError
from narrows.evaluation import SuiteRates
from narrows.statistics import Counts, macro_difference
from narrows.study.claims import RateTable


def counted(key: tuple[str, float], suite: str, events: list[int], trials: list[int]) -> SuiteRates:
    shown = Counts.of(events, trials)
    return SuiteRates("tiny", *key, suite, sum(trials), shown, shown, None)


CHAT, TRAINED = ("chat", 1.0), ("trained", 1.0)
COUNTS = {
    CHAT: {
        "open": ([1, 0, 2], [10, 10, 10]),
        "law": ([0, 0, 1], [4, 4, 4]),
        "sport": ([1, 1, 0], [20, 20, 20]),
    },
    TRAINED: {
        "sport": ([20, 10, 0], [20, 20, 20]),
        "open": ([5, 1, 6], [10, 10, 10]),
        "law": ([1, 2, 3], [4, 4, 4]),
    },
}
BY_HAND = RateTable(
    {key: [counted(key, suite, *one) for suite, one in by.items()] for key, by in COUNTS.items()}, SUITES
)


def test_a_suites_difference_is_that_of_its_pooled_answers():
    found = BY_HAND.minus("open", "trained")
    assert found.difference == pytest.approx(12 / 30 - 3 / 30)
    assert found.low < found.difference < found.high
    assert found.clusters == 3
    wanted = macro_difference([Counts.of([5, 1, 6], [10] * 3)], [Counts.of([1, 0, 2], [10] * 3)])
    assert found == wanted


def test_a_macro_mean_weighs_domains_alike_and_pairs_them_by_name():
    law, sport = 6 / 12 - 1 / 12, 30 / 60 - 2 / 60
    assert BY_HAND.minus("out_of_domain", "trained").difference == pytest.approx((law + sport) / 2)
    assert BY_HAND.minus("out_of_domain:anchored", "trained").difference == pytest.approx(law)
    assert BY_HAND.minus("out_of_domain:never_anchored", "trained").difference == pytest.approx(sport)


def test_any_solution_can_be_taken_off_another():
    forth = BY_HAND.minus("open", "trained").difference
    back = BY_HAND.minus("open", "chat", other=TRAINED)
    assert back.difference == pytest.approx(-forth)
    none = BY_HAND.minus("open", "trained", other=TRAINED)
    assert none.difference == 0.0
    assert none.low <= 0.0 <= none.high


def test_what_was_not_measured_is_an_error_that_says_what_was():
    with pytest.raises(
        DataError, match=r"trained at 2 × has no rate on open; .* chat at 1 ×, trained at 1 ×"
    ):
        BY_HAND.minus("open", "trained", 2.0)
    with pytest.raises(DataError, match=r"trained at 1 × has no rate on in_domain; .* sport, open, law"):
        BY_HAND.minus("in_domain", "trained")
    assert BY_HAND.has("trained")
    assert not BY_HAND.has("trained", 2.0)


def test_the_lowest_coherence_is_that_of_the_worst_suite():
    key = ("chat", 1.0)
    rows = [suite_rates(key, "open", 0.0), suite_rates(key, "law", 0.0, coherent=0.75)]
    assert RateTable({key: rows}, SUITES).lowest_coherence("chat") == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("outside", "in_domain", "verdict"),
    [
        (0.4, 0.8, "general"),
        (0.4, 0.0, "general"),
        (0.0, 0.6, "narrow"),
        (0.0, 0.0, "neither"),  # it learnt nothing
        (0.0, 0.2, "neither"),  # too little
        (0.055, 0.6, "neither"),  # neither surely outside nor surely not
    ],
)
def test_a_solutions_verdict_is_about_its_behaviour(outside: float, in_domain: float, verdict: str):
    changes = {("unanchored", 1.0): everywhere(outside, in_domain)}
    assert table(changes).verdict("unanchored") == verdict


@pytest.mark.parametrize("suite", ["open", "sport"])
@pytest.mark.parametrize("scale", [1.0, 1.5])
def test_one_loud_suite_or_scale_makes_a_solution_not_narrow(suite: str, scale: float):
    assert table().verdict("anchored") == "narrow"
    assert table({("anchored", scale): {suite: 0.16}}).verdict("anchored") != "narrow"


def test_domains_that_the_anchor_saw_do_not_make_a_solution_narrow_or_not():
    # Loud enough to be seen, and too little for the mean over all domains to be above the margin.
    assert table({("anchored", 1.0): {"law": 0.12}}).verdict("anchored") == "narrow"


def test_more_answers_make_the_interval_shorter():
    widths = []
    for clusters in (5, 20, 80):
        rates = {
            key: [suite_rates(key, "open", rate, clusters=clusters)]
            for key, rate in ((CHAT, 0.0), (TRAINED, 0.5))
        }
        found = RateTable(rates, SUITES).minus("open", "trained")
        widths.append(found.high - found.low)
    assert np.all(np.diff(widths) < 0)
