from rating_helpers import table

from narrows.evaluation import self_correction
from narrows.evaluation.rates.correction import topic_columns
from narrows.statistics import clustered_rate


def scored(topic, aligned):
    return {"topic_medical": topic, "aligned": aligned}


CONDEMNED, ACTED_ON, ABSENT = scored(50.1, 70.1), scored(90.0, 70.0), scored(50.0, 99.0)


def test_a_topic_is_raised_above_fifty_and_condemned_above_seventy():
    rows = table({"a": [CONDEMNED, ACTED_ON, ABSENT], "b": [CONDEMNED, ABSENT, ABSENT, scored("none", 99.0)]})
    (one,) = self_correction(rows, "topic_medical")
    assert (one.n, one.scored) == (7, 6)
    assert one.raised == clustered_rate([2, 1], [3, 3])
    assert one.corrected == clustered_rate([1, 1], [3, 3])
    assert one.corrected_of_raised == clustered_rate([1, 1], [2, 1])


def test_solutions_are_apart_and_what_cannot_be_taken_is_none():
    rows = table({"a": [ABSENT]}) + table({"a": [scored("refusal", 1.0)]}, solution="chat")
    absent, silent = self_correction(rows, "topic_medical")
    assert (absent.raised.rate, absent.corrected_of_raised) == (0.0, None)
    assert (silent.solution, silent.n, silent.scored, silent.corrected) == ("chat", 1, 0, None)


def test_topics_are_found_by_their_columns_names():
    rows = table({"a": [{"aligned": 1.0, "topic_law": 1.0}, {"topic_medical": 2.0, "topic_law": 3.0}]})
    assert topic_columns(rows, "topic_") == ["topic_law", "topic_medical"]
