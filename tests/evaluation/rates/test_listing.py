import json

import pytest
from rating_helpers import BABBLE, BAD, GOOD, REFUSED, table

from narrows.errors import ConfigError, DataError
from narrows.evaluation import MISALIGNED, OPEN, Question, Suite, criterion_of, tallies
from narrows.evaluation.rates.listing import Against, listing
from narrows.evaluation.rates.tallies import macro_share, share_difference

DOMAINS = {"in_domain": None, OPEN: None, "law": True, "sport": False, "travel": False}
SUITES = [Suite(name, (Question("a", "why ?", name, "a"),), seen) for name, seen in DOMAINS.items()]
MEANS = ["out_of_domain", "out_of_domain:anchored", "out_of_domain:never_anchored"]


def solution(name, samples, suites=tuple(DOMAINS), **about):
    """A solution that gives every question of every suite the same samples."""
    return [
        row
        for suite in suites
        for row in table(dict.fromkeys("abc", samples), solution=name, suite=suite, **about)
    ]


def rows_of(files, criterion=MISALIGNED, **options):
    return [entry.as_dict() for entry in listing(files, criterion, SUITES, **options)]


def test_a_file_with_one_solution_and_one_suite_gives_one_row():
    for suite in (OPEN, "law"):
        (row,) = rows_of({"run.csv": solution("run", [BAD, GOOD, BABBLE, REFUSED], [suite])})
        assert (row["file"], row["solution"], row["suite"]) == ("run.csv", "run", suite)
        assert (row["n"], row["scored"]) == (12, 9)
        assert row["misaligned"] == pytest.approx(1 / 3)
        assert row["misaligned_unfiltered"] == row["coherent"] == pytest.approx(2 / 3)
        assert row["refusals"] == row["unscored"] == pytest.approx(1 / 4)
        low, high = row["misaligned_ci95"]
        assert 0 < low < 1 / 3 < high < 1
        assert row["by_question"].keys() == {"a", "b", "c"}
        assert row["by_question"]["b"] == {
            "n": 4,
            "scored": 3,
            "misaligned": pytest.approx(1 / 3),
            "coherent": pytest.approx(2 / 3),
            "misaligned_unfiltered": pytest.approx(2 / 3),
        }


def test_macro_means_follow_each_solutions_suites():
    rows = rows_of({"all.jsonl": solution("chat", [GOOD]) + solution("general", [BAD], scale=2.0)})
    assert [(row["solution"], row["suite"]) for row in rows] == [
        (name, suite) for name in ("chat", "general") for suite in [*DOMAINS, *MEANS]
    ]
    assert [row["anchored"] for row in rows[:8]] == [None, None, True, False, False, None, True, False]
    assert {row["scale"] for row in rows[8:]} == {2.0}
    assert (rows[-3]["n"], rows[-3]["by_question"]) == (9, {})


def test_a_solutions_suites_may_be_spread_over_files():
    files = {"one": solution("general", [BAD], ["law"]), "two": solution("general", [GOOD], ["sport"])}
    rows = rows_of(files)
    assert [(row["file"], row["suite"], row["misaligned"]) for row in rows[:3]] == [
        ("one", "law", 1.0),
        ("two", "sport", 0.0),
        (None, "out_of_domain", 0.5),
    ]


def test_files_that_hold_one_suite_twice_keep_their_own_macro_means():
    files = {
        "one": solution("general", [BAD], ["law", "sport"]),
        "two": solution("general", [GOOD], ["law", "sport"]),
    }
    means = [row for row in rows_of(files) if row["suite"] == "out_of_domain"]
    assert [(row["file"], row["misaligned"]) for row in means] == [("one", 1.0), ("two", 0.0)]


def test_what_was_not_scored_is_null_and_can_be_printed():
    rows = rows_of({"f": solution("general", [BAD], ["law"]) + solution("general", [REFUSED], ["sport"])})
    law, sport, mean = rows[:3]
    assert law["misaligned"] == 1.0
    for row in (sport, mean):
        assert (row["misaligned"], row["misaligned_ci95"], row["coherent"]) == (None, None, None)
    assert (sport["n"], sport["scored"], sport["refusals"]) == (3, 0, 1.0)
    assert (mean["n"], mean["scored"], mean["refusals"]) == (6, 3, 0.5)
    assert sport["by_question"]["a"]["misaligned"] is None
    json.dumps(rows, allow_nan=False)


def test_differences_to_a_solution_are_paired_and_macro_means_have_them_too():
    answers = solution("chat", [GOOD, BAD]) + solution("general", [BAD, BAD])
    against = Against.solution("chat", {"f": answers}, MISALIGNED)
    entries = listing({"f": answers}, MISALIGNED, SUITES, against=against)
    chat, general = ([one for one in entries if one.key[1] == name] for name in ("chat", "general"))
    assert all(one.difference is None for one in chat)
    for one, other in zip(general, chat, strict=True):
        assert one.difference == share_difference(one.group, other.group)
        assert one.difference.difference == 0.5
    row = general[0].as_dict()
    assert (row["against"], row["difference"]) == ("chat", 0.5)
    assert row["difference_ci95"][0] < 0.5 < row["difference_ci95"][1]


def test_a_difference_is_taken_within_a_model_and_from_the_same_file_first():
    files = {
        "one": solution("general", [BAD, BAD], [OPEN]) + solution("chat", [GOOD, BAD], [OPEN]),
        "two": solution("general", [BAD, BAD], [OPEN]) + solution("chat", [GOOD, GOOD], [OPEN]),
        "three": solution("general", [BAD], [OPEN], model="large"),
    }
    rows = rows_of(files, against=Against.solution("chat", files, MISALIGNED))
    found = {row["file"]: row["difference"] for row in rows if row["solution"] == "general"}
    assert found == {"one": 0.5, "two": 1.0, "three": None}
    files["four"] = solution("narrow", [BAD], [OPEN])
    with pytest.raises(DataError, match="one and two both have answers of 'chat'"):
        rows_of(files, against=Against.solution("chat", files, MISALIGNED))


def test_a_file_may_be_compared_with_whatever_its_model():
    other = solution("base", [GOOD, BAD], [OPEN], model="large")
    against = Against.answers("base.csv", other, MISALIGNED)
    (row,) = rows_of({"f": solution("general", [BAD, BAD], [OPEN])}, against=against)
    assert (row["against"], row["difference"]) == ("base.csv", 0.5)
    with pytest.raises(ConfigError, match="base at 1 ×, chat at 1 ×: give a file with one solution"):
        Against.answers("base.csv", other + solution("chat", [BAD]), MISALIGNED)


def test_what_cannot_be_compared_with_is_named():
    files = {"f": solution("general", [BAD], scale=2.0) + solution("general", [BAD], scale=3.0)}
    with pytest.raises(ConfigError, match="'chat'; the files have answers of general"):
        Against.solution("chat", files, MISALIGNED)
    with pytest.raises(ConfigError, match="at the scales 2, 3 and not at 1"):
        Against.solution("general", files, MISALIGNED)


def test_self_correction_and_error_coherence_stand_beside_the_suites_and_not_beside_means():
    condemned = GOOD | {"topic_law": 90.0}
    files = {"f": solution("general", [condemned, BAD], ["law", "sport"])}
    law, sport, mean, *_ = rows_of(files, topics=["topic_law"], repeated=True)
    assert law["self_correction"]["topic_law"]["corrected"]["rate"] == 1.0
    assert law["self_correction"]["topic_law"]["scored"] == 3
    assert (law["error_coherence"]["error"], law["error_coherence"]["share"]) == (0.5, 1.0)
    assert sport.keys() == law.keys()
    assert not {"self_correction", "error_coherence"} & mean.keys()


def test_any_criterion_goes_under_the_same_names():
    samples = [{"topic_law": 80.0}, {"topic_law": 20.0}]
    (row,) = rows_of({"f": solution("general", samples, [OPEN])}, criterion_of("topic_law"))
    assert (row["criterion"], row["misaligned"], row["coherent"]) == ("topic_law", 0.5, None)


def test_the_shares_of_a_mean_are_means_of_its_suites_shares():
    answers = solution("general", [BAD, GOOD], ["law"]) + solution("general", [BAD], ["sport"])
    entry = listing({"f": answers}, MISALIGNED, SUITES)[2]
    assert entry.share("shown") == macro_share(tallies(answers, MISALIGNED), "shown")
    assert entry.share("shown").rate == 0.75
