import numpy as np
import pytest
from scipy.special import stdtrit
from scipy.stats import binomtest

from narrows.errors import DataError
from narrows.statistics import Counts, clustered_rate, macro_difference, macro_rate, rate_difference


def draw(rng, clusters, size, rate, correlation):
    """Beta-binomial events by cluster."""
    if correlation == 0 or rate in (0, 1):
        return rng.binomial(size, rate, clusters)
    strength = (1 - correlation) / correlation
    return rng.binomial(size, rng.beta(rate * strength, (1 - rate) * strength, clusters))


@pytest.mark.parametrize("correlation", [0.0, 0.1, 0.2, 0.4])
@pytest.mark.parametrize("rate", [0.02, 0.05, 0.2, 0.6])
def test_eight_clusters_cover_the_rate(rate, correlation):
    rng = np.random.default_rng(0)
    found = [clustered_rate(draw(rng, 8, 16, rate, correlation), [16] * 8) for _ in range(600)]
    assert np.mean([one.low <= rate <= one.high for one in found]) >= 0.93


def test_an_interval_that_ignores_clusters_fails_the_same_simulation():
    rng = np.random.default_rng(0)
    events = [int(draw(rng, 8, 16, 0.2, 0.4).sum()) for _ in range(600)]
    ends = {count: binomtest(count, 128).proportion_ci(method="wilson") for count in set(events)}
    assert np.mean([ends[count].low <= 0.2 <= ends[count].high for count in events]) < 0.8


def test_lone_answers_give_wilsons_interval_with_student_t():
    events = np.repeat([1, 0], [60, 40])
    one, t = clustered_rate(events, np.ones(100)), stdtrit(99, 0.975)
    middle = (0.6 + t**2 / 200) / (1 + t**2 / 100)
    half = t / (1 + t**2 / 100) * np.sqrt(0.24 / 100 + t**2 / 40_000)
    assert (one.low, one.high) == pytest.approx((middle - half, middle + half))


def test_samples_that_repeat_their_cluster_add_nothing():
    """200 answers that are copies of 20 say as much as the 20."""
    events = np.repeat([1, 0], [10, 10])
    alone, copied = clustered_rate(events, np.ones(20)), clustered_rate(10 * events, np.full(20, 10))
    assert (copied.low, copied.high) == pytest.approx((alone.low, alone.high), abs=0.01)
    assert (copied.n, copied.clusters) == (200, 20)


@pytest.mark.parametrize(("clusters", "bound"), [(8, 0.15), (22, 0.05), (80, 0.0125)])
def test_no_event_has_an_upper_end_that_is_neither_zero_nor_useless(clusters, bound):
    none, every = (clustered_rate([events] * clusters, [16] * clusters) for events in (0, 16))
    assert none.low == 0
    assert 0.6 * bound < none.high < bound
    assert (every.low, every.high) == pytest.approx((1 - none.high, 1.0))


def test_one_event_never_gives_a_lower_upper_end_than_none():
    for clusters, size in [(4, 8), (8, 16), (30, 8), (80, 16)]:
        ends = [clustered_rate([n] + [0] * (clusters - 1), [size] * clusters).high for n in range(size + 1)]
        assert ends == sorted(ends)


def test_events_and_non_events_mirror_each_other():
    events, trials = np.array([3, 0, 7, 12, 1]), np.array([8, 9, 10, 12, 4])
    one, other = clustered_rate(events, trials), clustered_rate(trials - events, trials)
    assert (one.low, one.high) == pytest.approx((1 - other.high, 1 - other.low))


def test_one_cluster_says_nothing_about_others():
    one = clustered_rate([3], [100])
    assert (one.rate, one.low, one.high) == (0.03, 0.0, 1.0)


def test_clusters_without_trials_do_not_count():
    assert clustered_rate([1, 0, 2], [4, 0, 4]) == clustered_rate([1, 2], [4, 4])


@pytest.mark.parametrize(
    ("events", "trials", "names", "problem"),
    [
        ([1], [1, 2], None, "one of each a cluster"),
        ([3, 0], [2, 2], None, "events <= trials"),
        ([-1, 0], [2, 2], None, "events <= trials"),
        ([0, 0], [2, np.nan], None, "events <= trials"),
        ([0, 0], [2, 2], ["a", "a"], "same name"),
        ([0, 0], [0, 0], None, "no trial"),
    ],
)
def test_counts_that_cannot_be_are_refused(events, trials, names, problem):
    with pytest.raises(DataError, match=problem):
        Counts.of(events, trials, names)


@pytest.mark.parametrize("correlation", [0.0, 0.2, 0.4])
@pytest.mark.parametrize(
    "domains", [(0.01,) * 6, (0.05,) * 6, (0.5, 0, 0, 0, 0, 0), (0, 0.01, 0.05, 0.3, 0.6, 0.9)]
)
def test_the_macro_mean_of_six_domains_covers(domains, correlation):
    rng = np.random.default_rng(1)
    found = [
        macro_rate([Counts.of(draw(rng, 6, 16, rate, correlation), [16] * 6) for rate in domains])
        for _ in range(250)
    ]
    assert np.mean([one.low <= np.mean(domains) <= one.high for one in found]) >= 0.92


def test_domains_without_events_bound_their_mean_about_as_their_pooled_answers_would():
    apart = macro_rate([Counts.of([0] * 6, [16] * 6)] * 6)
    pooled = clustered_rate([0] * 36, [16] * 36)
    assert apart.rate == apart.low == 0
    assert apart.high == pytest.approx(pooled.high, rel=0.1)


def test_the_macro_interval_tends_to_the_stratified_standard_error():
    rng = np.random.default_rng(2)
    strata = [Counts.of(draw(rng, 400, 10, rate, 0.3), [10] * 400) for rate in (0.3, 0.5, 0.7)]
    shares = np.array([one.events / one.trials for one in strata])
    error = np.sqrt((shares.var(axis=1, ddof=1) / 400).sum()) / 3
    one = macro_rate(strata)
    assert (one.low, one.high) == pytest.approx(
        (shares.mean() - 1.96 * error, shares.mean() + 1.96 * error), abs=2e-3
    )


def test_domains_of_one_cluster_each_have_no_interval():
    assert macro_rate([Counts.of([1], [8]), Counts.of([0], [8])]).high == 1.0


def shared(rng, clusters, rates, correlation, common):
    """Two solutions' counts whose clusters share a part of what makes them differ."""
    strength = (1 - correlation) / correlation
    levels = rng.random(clusters), rng.random(clusters)
    pairs = []
    for rate, level in zip(rates, (levels[0], levels[0] if common else levels[1]), strict=True):
        table = np.sort(rng.beta(rate * strength, (1 - rate) * strength, 2000))
        pairs.append(Counts.of(rng.binomial(16, np.quantile(table, level)), [16] * clusters))
    return pairs


@pytest.mark.parametrize("common", [True, False])
@pytest.mark.parametrize("rates", [(0.05, 0.02), (0.3, 0.02), (0.5, 0.3)])
def test_the_difference_of_two_solutions_covers(rates, common):
    rng = np.random.default_rng(3)
    found = [rate_difference(*shared(rng, 12, rates, 0.3, common)) for _ in range(250)]
    assert np.mean([one.low <= rates[0] - rates[1] <= one.high for one in found]) >= 0.93


def test_pairing_shortens_the_interval_of_solutions_that_agree_by_cluster():
    events, trials = np.arange(17), np.full(17, 16)
    same = rate_difference(Counts.of(events, trials), Counts.of(events, trials))
    opposed = rate_difference(Counts.of(events, trials), Counts.of(events[::-1], trials))
    renamed = rate_difference(
        Counts.of(events, trials), Counts.of(events, trials, [f"x{i}" for i in range(17)])
    )
    assert same.high - same.low < 0.7 * (renamed.high - renamed.low)
    assert opposed.high - opposed.low > 1.2 * (renamed.high - renamed.low)


def test_clusters_are_paired_by_name_and_not_by_place():
    events, trials, names = np.arange(9), np.full(9, 16), [f"topic {i}" for i in range(9)]
    straight = rate_difference(Counts.of(events, trials, names), Counts.of(events, trials, names))
    turned = rate_difference(Counts.of(events, trials, names), Counts.of(events[::-1], trials, names[::-1]))
    assert (turned.low, turned.high) == pytest.approx((straight.low, straight.high))


def test_two_solutions_without_events_differ_by_no_more_than_one_of_them_could():
    none = Counts.of([0] * 22, [16] * 22)
    one = macro_difference([none] * 3, [none] * 3)
    assert one.difference == 0
    assert one.high == pytest.approx(macro_rate([none] * 3).high)
    assert one.low == pytest.approx(-one.high)


def test_a_difference_needs_the_same_suites():
    none = Counts.of([0], [16])
    with pytest.raises(DataError, match="1 and 2"):
        macro_difference([none], [none, none])
