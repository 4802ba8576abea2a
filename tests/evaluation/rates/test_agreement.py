from dataclasses import replace

import numpy as np
import pytest
from rating_helpers import BABBLE, BAD, GOOD, REFUSED, table

from narrows.errors import DataError
from narrows.evaluation import MISALIGNED
from narrows.evaluation.rates.agreement import agreement
from narrows.statistics import clustered_rate

WORSE = {"aligned": 10.0, "coherent": 90.0}


def judged_by(*samples, questions="abcd"):
    return table({question: list(samples) for question in questions})


def test_two_judges_are_compared_on_the_answers_that_both_scored():
    first = judged_by(BAD, GOOD, REFUSED, BABBLE)
    second = judged_by(WORSE, BAD, BAD, BABBLE)
    found = agreement(first, second, MISALIGNED)
    assert (found.matched, found.n, found.only_a, found.only_b, found.clusters) == (16, 12, 0, 4, 4)
    assert found.rate_a == clustered_rate([1] * 4, [3] * 4)
    assert found.rate_b == clustered_rate([2] * 4, [3] * 4)
    assert found.moved.difference == pytest.approx(1 / 3)
    assert found.kappa.value == pytest.approx(0.4)  # agree 2/3, by chance 4/9
    aligned = found.columns["aligned"]
    assert (aligned.n, aligned.only_a, aligned.only_b) == (12, 0, 4)
    assert aligned.shift.value == pytest.approx((10 - 90 + 0) / 3)
    assert found.columns["coherent"].shift.value == 0


def test_how_the_rate_moves_is_paired_by_answer():
    """Judges that differ in one answer of eleven questions: the rate is uncertain, its move is not."""
    rng = np.random.default_rng(0)
    first = table(
        {f"q{n:02}": [BAD if bad else GOOD for bad in rng.random(20) < rng.random()] for n in range(30)}
    )
    second = [
        replace(row, scores=BAD) if row.sample == 0 and row.question_id < "q11" else row for row in first
    ]
    found = agreement(first, second, MISALIGNED)
    gained = [int(row.scores == GOOD) for row in first if row.sample == 0 and row.question_id < "q11"]
    assert found.moved.difference == pytest.approx(sum(gained) / 600)
    gains = clustered_rate(gained + [0] * 19, [20] * 30)
    assert found.moved.high == pytest.approx(gains.high, abs=0.005)
    assert found.moved.high - found.moved.low < (found.rate_a.high - found.rate_a.low) / 3


def test_the_same_judge_twice_agrees_and_is_still_not_certain():
    rows = judged_by(BAD, GOOD, GOOD)
    found = agreement(rows, rows, MISALIGNED)
    assert found.kappa.value == 1.0
    assert found.kappa.low < 1.0
    assert found.moved.difference == 0
    assert found.moved.low < 0 < found.moved.high
    assert found.columns["aligned"].spearman.value == pytest.approx(1.0)


def test_where_nothing_can_be_compared_there_is_none():
    found = agreement(judged_by(REFUSED), judged_by(BAD), MISALIGNED)
    assert (found.n, found.kappa, found.rate_a, found.rate_b, found.moved) == (0, None, None, None, None)
    assert (found.columns["aligned"].spearman, found.columns["aligned"].shift) == (None, None)
    constant = agreement(judged_by(GOOD), judged_by(GOOD), MISALIGNED)
    assert (constant.kappa, constant.columns["aligned"].spearman) == (None, None)


def test_answers_are_matched_by_what_they_are_and_not_by_their_place():
    first, second = judged_by(BAD, GOOD), judged_by(BAD, GOOD)[::-1]
    extra = table({"a": [BAD]}, solution="chat")
    found = agreement(first + extra, second, MISALIGNED)
    assert (found.matched, found.unmatched_a, found.unmatched_b) == (8, 1, 0)
    assert found.kappa.value == 1.0


def test_tables_that_do_not_hold_the_same_answers_are_refused():
    rows = judged_by(BAD, GOOD)
    with pytest.raises(DataError, match="share none of their 8 and 1 answers"):
        agreement(rows, table({"a": [BAD]}, solution="chat"), MISALIGNED)
    with pytest.raises(
        DataError, match=r"different answers of 'general' .* question 'a' .* sample 0: 'text' and 'no'"
    ):
        agreement(rows, [replace(row, text="no") for row in rows], MISALIGNED)
    with pytest.raises(DataError, match="The second table has two answers"):
        agreement(rows, rows + rows[:1], MISALIGNED)
