from collections.abc import Mapping

import pytest
from study_helpers import HOLDS, SUITES, everywhere, suite_rates, verdicts

from narrows.errors import DataError
from narrows.study.claims import Mixture, RateTable, c3
from narrows.study.claims.verdicts import stem

BEHAVIOUR = [Mixture("unanchored", 1.0), Mixture("sixth", 1 / 6), Mixture("twelfth", 1 / 12)]
TOTAL = [Mixture("unanchored", 1.0), Mixture("half", 0.5), Mixture("total-twelfth", 1 / 12)]
SERIES = {"behaviour": BEHAVIOUR, "total": TOTAL}
FIRST = "best mixture − anchored at its in-domain rate, other domains, behaviour's rows fixed"
SECOND = "best mixture − anchored at its in-domain rate, other domains, total rows fixed"
# The anchored solution has .6 in the domain and 0 elsewhere; without it .8 and .4.
RATES = {
    "unanchored": everywhere(0.4, 0.8),
    "anchored": everywhere(0.0, 0.6),
    "sixth": everywhere(0.2, 0.4),
    "twelfth": everywhere(0.1, 0.1),
    "half": everywhere(0.3, 0.7),
    "total-twelfth": everywhere(0.1, 0.3),
}


def table(changes: Mapping[str, Mapping[str, float]] | None = None, without: str = "") -> RateTable:
    rates = {name: values | dict((changes or {}).get(name, {})) for name, values in RATES.items()}
    measured = {
        (name, 1.0): [
            suite_rates((name, 1.0), suite, rate) for suite, rate in values.items() if suite != without
        ]
        for name, values in rates.items()
    }
    return RateTable(measured, SUITES)


def test_c3_holds_where_the_best_mixture_as_bad_in_the_domain_is_worse_outside_it():
    result = c3(table(), SERIES)
    assert result.verdict == "supported"
    assert list(verdicts(result)) == [FIRST, SECOND]
    assert [part.margin for part in result.deciding] == [0.0, 0.0]
    # Half of the way from (.8, .4) to (.4, .2); a quarter of the way from (.7, .3) to (.3, .1).
    assert [part.estimate for part in result.deciding] == pytest.approx([0.3, 0.25])


@pytest.mark.parametrize(
    ("quiet", "failing"), [(("unanchored", "sixth"), FIRST), (("half", "total-twelfth"), SECOND)]
)
def test_each_series_decides(quiet: tuple[str, str], failing: str):
    changes = {name: everywhere(0.0, RATES[name]["in_domain"]) for name in quiet}
    result = c3(table(changes | {"anchored": everywhere(0.15, 0.6)}), SERIES)
    assert result.verdict == "not-supported"
    assert verdicts(result)[failing] == "not-supported"


def test_no_answer_that_shows_the_behaviour_is_no_evidence_that_mixtures_are_as_good():
    changes = {name: everywhere(0.0, values["in_domain"]) for name, values in RATES.items()}
    assert c3(table(changes), SERIES).verdict == "inconclusive"


def test_mixtures_are_put_in_the_order_of_their_fractions():
    assert c3(table(), {"behaviour": BEHAVIOUR[::-1]}) == c3(table(), {"behaviour": BEHAVIOUR})


def test_controls_are_the_never_anchored_domains_and_the_open_questions():
    changes = {name: {"open": 0.0, "sport": 0.0, "travel": 0.0} for name in RATES}
    result = c3(table(changes), SERIES)
    assert result.verdict == "supported"
    controls = [part for part in result.parts if not part.counts]
    assert [stem(part.name) for part in controls] == [
        "best mixture − anchored at its in-domain rate, never-anchored domains, behaviour's rows fixed",
        "best mixture − anchored at its in-domain rate, open, behaviour's rows fixed",
        "rate in other domains / in domain, behaviour's rows fixed",
        "best mixture − anchored at its in-domain rate, never-anchored domains, total rows fixed",
        "best mixture − anchored at its in-domain rate, open, total rows fixed",
        "rate in other domains / in domain, total rows fixed",
    ]
    assert {part.estimate for part in controls if "best mixture" in part.name} == {0.0}


def test_the_rates_fall_together_at_the_smallest_fraction_that_taught_the_behaviour():
    def together(changes: Mapping[str, Mapping[str, float]]):
        (part,) = [one for one in c3(table(changes), {"behaviour": BEHAVIOUR}).parts if " / " in one.name]
        return part

    part = together({"anchored": {"law": 0.1, "sport": 0.2}})
    assert part.name.endswith(", smallest fraction that taught it (1/12)")
    assert part.estimate == pytest.approx(0.1 / 0.1)
    assert part.margin == pytest.approx(0.3 / 4 / 0.6)
    assert part.ci95[0] < part.estimate < part.ci95[1]
    part = together({"twelfth": {"in_domain": 0.04}})
    assert part.name.endswith("(1/6)")
    assert part.estimate == pytest.approx(0.2 / 0.4)
    untaught = {name: {"in_domain": 0.0} for name in ("unanchored", "sixth", "twelfth")}
    assert not any(" / " in one.name for one in c3(table(untaught), {"behaviour": BEHAVIOUR}).parts)


@pytest.mark.parametrize(
    ("rate", "estimate", "words"),
    [(0.9, 0.4, "all have a lower in-domain rate"), (0.05, 0.1, "all have a higher in-domain rate")],
)
def test_outside_the_mixtures_range_the_nearest_one_stands_and_is_said_to(
    rate: float, estimate: float, words: str
):
    result = c3(table({"anchored": {"in_domain": rate}}), {"behaviour": BEHAVIOUR})
    (part,) = result.deciding
    assert part.name == f"{FIRST}, nearest mixture ({words})"
    assert stem(part.name) == FIRST
    assert part.estimate == pytest.approx(estimate)


def test_a_behaviour_without_open_questions_has_no_such_control():
    result = c3(table(without="open"), SERIES)
    assert result.verdict == "supported"
    assert not any(", open," in part.name for part in result.parts)


def test_what_cannot_be_compared_is_an_error():
    with pytest.raises(DataError, match="at least one series"):
        c3(table(), {})
    with pytest.raises(DataError, match="at least two points"):
        c3(table(), {"total": TOTAL[:1]})
    with pytest.raises(DataError, match="third at 1 × has no rate on in_domain"):
        c3(table(), {"total": [*TOTAL, Mixture("third", 1 / 3)]})


def test_the_rates_are_those_of_a_world_in_which_the_other_claims_hold():
    assert all(RATES[name] == HOLDS[name, 1.0] for name in ("unanchored", "anchored"))
