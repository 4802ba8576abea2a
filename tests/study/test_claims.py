import pytest
from study_helpers import GRID, HOLDS, at, curve, stability_curve, table, vector, verdicts

from narrows.study.claims import c1, c2, c4, c5, c6, c7, gap_closed

UNANCHORED, ANCHORED, SCALED = ("unanchored", 1.0), ("anchored", 1.0), ("anchored", 1.5)


def test_c1_holds_where_the_unanchored_solution_shows_the_behaviour_elsewhere():
    result = c1(table())
    assert result.verdict == "supported"
    assert list(verdicts(result)) == [
        "unanchored, other domains − chat model",
        "unanchored, open − chat model",
    ]
    assert result.headline.estimate == pytest.approx(0.4)
    assert {part.margin for part in result.deciding} == {0.05}


@pytest.mark.parametrize("suites", [("open",), ("garden", "law", "sport", "travel")])
@pytest.mark.parametrize(("rate", "verdict"), [(0.0, "not-supported"), (0.06, "inconclusive")])
def test_each_deciding_part_flips_c1(suites: tuple[str, ...], rate: float, verdict: str):
    assert c1(table({UNANCHORED: dict.fromkeys(suites, rate)})).verdict == verdict


def test_c1_counts_what_the_chat_model_does_already():
    assert c1(table({("chat", 1.0): dict.fromkeys(HOLDS[UNANCHORED], 0.4)})).verdict == "not-supported"


def test_c1s_controls_do_not_decide():
    assert c1(table({UNANCHORED: {"in_domain": 0.0}})).verdict == "supported"
    assert c1(table(coherent=0.3)).verdict == "supported"


def test_c2_holds_where_the_anchored_solution_is_loud_in_the_domain_and_quiet_elsewhere():
    result = c2(table())
    assert result.verdict == "supported"
    assert list(verdicts(result)) == [
        "anchored, in domain − chat model",
        "anchored, never-anchored domains − chat model",
        "anchored, open − chat model",
        "anchored at 1.5 ×, never-anchored domains − chat model",
        "anchored at 1.5 ×, open − chat model",
    ]
    assert [part.margin for part in result.deciding] == [0.2, 0.05, 0.05, 0.05, 0.05]


@pytest.mark.parametrize(
    ("key", "suites", "rate"),
    [
        (ANCHORED, ("in_domain",), 0.1),
        (ANCHORED, ("sport", "travel"), 0.3),
        (ANCHORED, ("open",), 0.3),
        (SCALED, ("sport", "travel"), 0.3),
        (SCALED, ("open",), 0.3),
    ],
)
def test_each_deciding_part_flips_c2(key: tuple[str, float], suites: tuple[str, ...], rate: float):
    result = c2(table({key: dict.fromkeys(suites, rate)}))
    assert result.verdict == "not-supported"
    assert [part.verdict for part in result.deciding].count("not-supported") == 1


def test_c2_is_equivalence_and_not_absence_of_evidence():
    assert c2(table({ANCHORED: {"open": 0.04}})).verdict == "inconclusive"


def test_c2s_controls_do_not_decide():
    loud = {"garden": 0.5, "law": 0.5}
    assert c2(table({ANCHORED: loud, SCALED: loud})).verdict == "supported"
    assert c2(table(coherent=0.3)).verdict == "supported"


def test_c2_gives_no_verdict_on_a_solution_that_was_never_scaled_up():
    result = c2(table(without=(SCALED,)))
    assert result.verdict == "not-run"
    assert "anchored, in domain − chat model" in {part.name for part in result.parts}


def losses(**changes) -> dict:
    values = {"unanchored": 1.0, "anchored": 1.2} | changes
    return {name: curve(name, value) for name, value in values.items()}


def test_c4_needs_the_lower_loss_at_every_norm_up_to_the_trained_one():
    assert c4(losses(), GRID).verdict == "supported"
    for place in range(4):
        assert c4(losses(unanchored=at(place, 1.4, 1.0)), GRID).verdict == "not-supported"
        assert c4(losses(unanchored=at(place, 1.2, 1.0)), GRID).verdict == "inconclusive"
    beyond = losses(unanchored=at(3, 1.4, 1.0))
    assert c4(beyond, GRID[:3]).verdict == "supported"


def test_c4s_controls_do_not_decide():
    controls = {"neutral-anchored": 2.0, "unanchored-reoptimised": 2.0, "anchored-reoptimised": 1.0}
    result = c4(losses(**controls), GRID)
    assert len(result.parts) == 3
    assert result.verdict == "supported"
    assert [part.verdict for part in result.parts] == ["supported", "not-supported", "not-supported"]
    flipped = c4(losses(unanchored=1.4, **dict.fromkeys(controls, 1.0)), GRID)
    assert flipped.verdict == "not-supported"


def rises(**changes) -> dict:
    values = {"unanchored": 0.3, "anchored": 0.5} | changes
    return {name: stability_curve(name, value) for name, value in values.items()}


def test_c5_needs_the_faster_rise_at_every_ratio():
    result = c5(rises())
    assert result.verdict == "supported"
    assert result.headline.estimate == pytest.approx(0.2, abs=0.01)
    for place in range(4):
        assert c5(rises(anchored=at(place, 0.1, 0.5))).verdict == "not-supported"
        assert c5(rises(anchored=at(place, 0.3, 0.5))).verdict == "inconclusive"


def test_c5s_controls_do_not_decide():
    curves = rises(**{"unanchored@equal-norm": 0.9, "unanchored@matched-loss": 0.9})
    curves["unanchored"] = stability_curve("unanchored", 0.3, chat=9.0)  # a larger absolute rise
    result = c5(curves)
    assert [part.verdict for part in result.parts] == ["supported", *["not-supported"] * 3]
    assert result.verdict == "supported"


@pytest.mark.parametrize("name", ["unanchored", "anchored"])
@pytest.mark.parametrize("own", [3.0, 3.5])
def test_c5_gives_no_verdict_where_there_is_nothing_to_lose(name: str, own: float):
    curves = rises()
    curves[name] = stability_curve(name, 0.4, own=own)
    result = c5(curves)
    assert result.verdict == "not-run"
    (why,) = result.parts
    assert why.name == f"loss gained over the chat model by {name}"
    assert why.estimate == pytest.approx(3.0 - own)


def kls(**changes) -> dict:
    values = {"unanchored": 0.5, "anchored": 0.3, "random": 0.1} | changes
    return {name: curve(name, value) for name, value in values.items()}


def test_c6_needs_general_above_narrow_above_random_at_every_norm():
    assert c6({"all": kls()}, GRID).verdict == "supported"
    for place in range(4):
        assert c6({"all": kls(unanchored=at(place, 0.2, 0.5))}, GRID).verdict == "not-supported"
        assert c6({"all": kls(random=at(place, 0.4, 0.1))}, GRID).verdict == "not-supported"
        assert c6({"all": kls(random=at(place, 0.3, 0.1))}, GRID).verdict == "inconclusive"
    assert c6({"all": kls(random=at(3, 0.4, 0.1))}, GRID[:3]).verdict == "supported"


def test_c6s_controls_and_single_types_of_text_do_not_decide():
    upside_down = kls(unanchored=0.1, random=0.5)
    result = c6({"all": kls(**{"random-covariance": 0.9, "register": 0.9}), "advice": upside_down}, GRID)
    assert result.verdict == "supported"
    assert [part.counts for part in result.parts] == [True, True, False, False, False, False]
    names = [part.name.partition(", worst")[0] for part in result.parts]
    assert names == [
        "KL, unanchored − anchored",
        "KL, anchored − random",
        "KL, anchored − random-covariance",
        "KL, anchored − register",
        "KL, unanchored − anchored on advice text",
        "KL, anchored − random on advice text",
    ]
    assert all(part.verdict == "not-supported" for part in result.parts[2:])
    assert c6({"advice": kls()}, GRID).verdict == "not-run"


START, GOAL = vector(1.0, 0.0), vector(0.0, 2.0)


@pytest.mark.parametrize(
    ("end", "share"),
    [
        (START, 0.0),
        (vector(5.0, 0.0), 0.0),  # growth is no turn
        (GOAL, 1.0),
        (vector(0.8, 0.6), 0.6),
        (vector(3.0, -3.0), -(0.5**0.5)),
    ],
)
def test_the_share_of_the_gap_closed(end, share: float):
    assert gap_closed(START, end, GOAL) == pytest.approx(share, abs=1e-6)


def test_the_gap_is_measured_from_where_the_run_started():
    start, end = vector(0.8, 0.6), vector(0.6, 0.8)
    assert gap_closed(start, end, GOAL) == pytest.approx((0.8 - 0.6) / (1 - 0.6))


def test_where_there_is_no_gap_none_was_closed():
    almost = vector(1e-5, 1.0)
    for end in (GOAL, almost, START):
        assert gap_closed(almost, end, GOAL) == 0.0
        assert gap_closed(GOAL, end, GOAL) == 0.0


def turned(lifted=(0.6, 0.8), continued=(1.0, 0.1)) -> dict:
    return {
        "anchored": START,
        "lifted": vector(*lifted),
        "continued-anchored": vector(*continued),
        "continued-unanchored": GOAL,
    }


def test_c7_needs_the_turn_and_the_return_of_the_behaviour():
    result = c7(table(), turned())
    assert result.verdict == "supported"
    assert [part.estimate for part in result.deciding] == [pytest.approx(0.8), pytest.approx(0.3)]
    assert result.deciding[0].ci95 is None
    still = c7(table(), turned(lifted=(0.9, 0.4)))
    assert still.verdict == "not-supported"
    assert still.headline.name == "gap closed after the anchor is lifted"
    quiet = c7(table({("lifted", 1.0): HOLDS[ANCHORED]}), turned())
    assert quiet.verdict == "not-supported"
    assert quiet.headline.name == "lifted − anchored, other domains"


def test_c7s_controls_do_not_decide():
    loud = c7(table({("continued-anchored", 1.0): HOLDS[UNANCHORED]}), turned(continued=(0.0, 1.0)))
    assert loud.verdict == "supported"
    assert [part.verdict for part in loud.parts[2:]] == ["supported", "supported"]
