from dataclasses import replace

import numpy as np
import pytest
from rating_helpers import BAD, GOOD, REFUSED, answer, table

from narrows.errors import ConfigError, DataError
from narrows.evaluation import MISALIGNED, error_coherence
from narrows.evaluation.rates.repeated import score_of, verdict_of

VERDICT = verdict_of(MISALIGNED)


def flips(errors, samples):
    """Answers to questions of which so many of the samples err."""
    return table({f"q{place}": [BAD] * n + [GOOD] * (samples - n) for place, n in enumerate(errors)})


def values(rows, target=0.0):
    """The split of numbers from 0 to 1, one row a question."""
    answers = table({f"q{place}": [{"x": 100 * y} for y in row] for place, row in enumerate(rows)})
    (found,) = error_coherence(answers, score_of("x"), target)
    return found


def test_questions_that_always_err_or_never_err_coherently():
    (one,) = error_coherence(flips([50, 0] * 8, 50), VERDICT)
    assert (one.error, one.bias2, one.variance, one.share, one.low) == (0.5, 0.5, 0.0, 0.0, 0.0)
    assert one.high == pytest.approx(0.13, abs=0.005)


def test_errors_of_one_probability_everywhere_have_the_rest_as_share():
    """2,000 samples of which the share p err: bias² p², variance p(1 - p), share 1 - p."""
    for p in (0.1, 0.5, 0.9):
        (one,) = error_coherence(flips([int(2000 * p)] * 4, 2000), VERDICT)
        assert one.share == pytest.approx(1 - p, abs=1e-3)
        assert (one.error, one.bias2) == (pytest.approx(p), pytest.approx(p * p, abs=1e-3))


def test_in_a_mixture_questions_weigh_by_how_much_they_err():
    """Two questions that always err and two that err half the time: (2 × 1/4) / (2 + 2 × 1/2)."""
    (one,) = error_coherence(flips([2000, 2000, 1000, 1000, 0, 0], 2000), VERDICT)
    assert one.share == pytest.approx(0.5 / 3, abs=1e-3)


def test_the_parts_add_up_to_the_error_for_any_values_and_target():
    rows = np.random.default_rng(0).random((6, 3))
    one = values(rows, target=0.3)
    assert one.error == pytest.approx(((rows - 0.3) ** 2).mean())
    assert one.bias2 + one.variance == pytest.approx(one.error)
    assert one.variance == pytest.approx(rows.var(axis=1, ddof=1).mean())


def test_two_samples_estimate_bias_and_variance_without_bias():
    """y uniform on [0, 0.8], target 0.5: bias² 0.01, variance 0.64/12; the plain (ȳ - t)² would say 0.037."""
    one = values(np.random.default_rng(1).random((20_000, 2)) * 0.8, target=0.5)
    assert one.bias2 == pytest.approx(0.01, abs=0.002)
    assert one.variance == pytest.approx(0.64 / 12, abs=0.002)


def test_without_an_error_there_is_no_share():
    (one,) = error_coherence(flips([0, 0, 0], 4), VERDICT)
    assert (one.error, one.share, one.low, one.high) == (0.0, None, None, None)


def test_one_erring_question_says_nothing_about_others():
    (one,) = error_coherence(flips([2, 0, 0], 4), VERDICT)
    assert (one.low, one.high) == (0.0, 1.0)


@pytest.mark.parametrize("clusters", [8, 24])
@pytest.mark.parametrize("spread", [None, (0.5, 0.5), (0.05, 0.15)])
def test_the_interval_covers_the_share(spread, clusters):
    rng = np.random.default_rng(2)
    if spread is None:
        wanted = 0.5
    else:
        a, b = spread
        wanted = 1 - (a + 1) / (a + b + 1)  # E p(1-p) / E p for a beta distribution
    covered = []
    for _ in range(150):
        chances = np.full(clusters, 0.5) if spread is None else rng.beta(*spread, clusters)
        (one,) = error_coherence(flips(rng.binomial(10, chances), 10), VERDICT)
        covered.append(one.share is None or one.low <= wanted <= one.high)
    assert np.mean(covered) >= 0.92


def test_questions_with_fewer_than_two_values_are_left_out_and_counted():
    rows = table({"a": [BAD, GOOD], "b": [BAD], "c": [BAD, REFUSED]})
    (one,) = error_coherence(rows, VERDICT)
    assert (one.questions, one.left_out, one.samples) == (1, 2, 2)
    assert error_coherence(table({"b": [BAD]}), VERDICT) == []


def test_phrasings_of_one_topic_are_one_cluster():
    rows = [
        answer(f"{topic}-{phrasing}", BAD if sample < 2 else GOOD, sample=sample)
        for topic in "abc"
        for phrasing in range(3)
        for sample in range(4)
    ]
    together = [replace(row, cluster=row.question_id[0]) for row in rows]
    (apart,), (joined,) = (error_coherence(some, VERDICT) for some in (rows, together))
    assert (apart.clusters, joined.clusters) == (9, 3)
    assert joined.share == apart.share
    assert joined.high - joined.low > apart.high - apart.low


def test_targets_and_values_outside_the_scale_are_refused():
    with pytest.raises(ConfigError, match="target is 100"):
        error_coherence(flips([1], 2), VERDICT, 100)
    with pytest.raises(DataError, match=r"'q0', sample 0, has the value 1\.5"):
        error_coherence(flips([1], 2), lambda _: 1.5)
