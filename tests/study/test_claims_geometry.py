"""The rules of C8 and C10 on numbers made by hand."""

import numpy as np
import pytest
from study_helpers import DOMAINS, suite_rates, verdicts

from narrows.errors import DataError
from narrows.evaluation import SuiteRates
from narrows.metrics import GradientCosines
from narrows.study.claims.geometry import Ablated, c8, c10

STEPS, GROUPS = 6, 8


def cosines(spread: float = 0.02, resultant: float = 0.5, **means: float) -> GradientCosines:
    """Cosines that are the same along training and differ by ``spread`` from group to group."""
    values = {"general": 0.3, "narrow": 0.1} | {name.replace("_", "-"): mean for name, mean in means.items()}
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(len(values), GROUPS))
    noise -= noise.mean(axis=1, keepdims=True)
    arrays = {
        name: np.tile(mean + spread * row, (STEPS, 1))
        for (name, mean), row in zip(values.items(), noise, strict=True)
    }
    return GradientCosines(list(range(STEPS)), arrays, np.ones((STEPS, GROUPS)), resultant, 128)


def test_c8_holds_where_the_gradient_points_more_to_the_general_solution():
    result = c8(cosines())
    assert result.verdict == "supported"
    assert verdicts(result) == {"cosine with −∇L, general − narrow": "supported"}
    assert result.headline.estimate == pytest.approx(0.2)
    assert result.headline.margin == 0.0
    assert result.headline.unit == "cosine, mean over training, over 8 row groups"


@pytest.mark.parametrize(
    ("narrow", "spread", "verdict"),
    [(0.5, 0.02, "not-supported"), (0.3, 0.02, "inconclusive"), (0.1, 0.5, "inconclusive")],
)
def test_c8_flips_with_the_difference_and_with_what_its_groups_agree_on(
    narrow: float, spread: float, verdict: str
):
    assert c8(cosines(narrow=narrow, spread=spread)).verdict == verdict


def test_c8_is_about_the_mean_over_training_and_not_about_any_one_step():
    found = cosines()
    found.cosines["general"][0] -= 1.0  # far below at one step, and still above on average
    assert c8(found).verdict == "supported"
    found.cosines["general"][1] -= 1.0
    assert c8(found).verdict == "not-supported"


def test_c8s_controls_do_not_decide():
    # In so wide a random band nothing is out of the ordinary, and another domain's ends say the same.
    result = c8(
        cosines(resultant=1.0, general=0.12, narrow=0.04, general_elsewhere=0.9, narrow_elsewhere=0.1)
    )
    assert result.verdict == "supported"
    assert {part.name: part.verdict for part in result.parts if not part.counts} == {
        "general − narrow, against two random directions": "not-supported",
        "cosine with −∇L, general, against a random direction": "not-supported",
        "cosine with −∇L, narrow, against a random direction": "not-supported",
        "cosine with −∇L, another domain's general − its narrow": "supported",
        "cosine with −∇L, general − another domain's general": "not-supported",
        "cosine with −∇L, narrow − another domain's narrow": "not-supported",
    }


def test_the_same_solution_as_both_supports_nothing():
    found = cosines()
    found.cosines["narrow"] = found.cosines["general"]
    assert c8(found).verdict == "not-supported"


def test_c8_needs_both_solutions():
    found = cosines()
    del found.cosines["narrow"]
    with pytest.raises(DataError, match="narrow is missing"):
        c8(found)


def rates(rate: float, coherent: float = 1.0) -> list[SuiteRates]:
    return [suite_rates(("general", 1.0), domain, rate, coherent=coherent) for domain in DOMAINS]


def ablated(
    name: str = "own fine-tune",
    *,
    before: float = 0.5,
    after: float = 0.0,
    coherent: float = 1.0,
    text: tuple[float, float, float] = (1.001, 0.999, 1.003),
) -> Ablated:
    return Ablated(name, rates(before), rates(after, coherent), text[0], text[1:])


OTHER = ablated("another's")


def test_c10_holds_where_the_behaviour_goes_and_nothing_else_does():
    result = c10(ablated(), OTHER)
    assert result.verdict == "supported"
    assert list(verdicts(result)) == [
        "fall of the rate in other domains, own fine-tune",
        "coherence, after − before, own fine-tune",
        "loss on ordinary text, after / before, own fine-tune",
        "fall of the rate in other domains, another's",
        "coherence, after − before, another's",
        "loss on ordinary text, after / before, another's",
    ]
    assert [part.margin for part in result.deciding] == [0.8, -0.05, 1.01] * 2
    assert result.headline.estimate == 1.0


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"after": 0.05}, "supported"),
        ({"after": 0.1}, "inconclusive"),  # 80 % exactly: the interval reaches below
        ({"after": 0.25}, "not-supported"),
        ({"after": 0.6}, "not-supported"),
        ({"coherent": 0.98}, "supported"),
        ({"coherent": 0.95}, "inconclusive"),
        ({"coherent": 0.8}, "not-supported"),
        ({"text": (1.005, 1.0, 1.02)}, "inconclusive"),
        ({"text": (1.03, 1.02, 1.04)}, "not-supported"),
        ({"text": (0.9, 0.8, 0.95)}, "supported"),
    ],
)
def test_each_deciding_part_flips_c10_in_either_fine_tune(changes: dict, verdict: str):
    assert c10(ablated(**changes), OTHER).verdict == verdict
    assert c10(ablated(), ablated("another's", **changes)).verdict == verdict


def test_c10_gives_no_verdict_where_there_was_nothing_to_remove():
    for weak in (0.0, 0.05):
        result = c10(ablated(), ablated("another's", before=weak))
        assert result.verdict == "not-run"
        (why,) = result.parts
        assert why.name == "rate in other domains before the ablation, another's"
        assert why.estimate == weak


def test_c10s_controls_do_not_decide():
    nothing = [ablated("own, random direction", after=0.5), ablated("another's, random", before=0.0)]
    result = c10(ablated(), OTHER, nothing)
    assert result.verdict == "supported"
    assert [part.verdict for part in result.parts[6:]] == ["not-supported", *["supported"] * 4]


def test_an_ablation_is_measured_on_the_same_suites():
    with pytest.raises(DataError, match="must be of the same suites; they are of garden, law, sport, travel"):
        Ablated("own", rates(0.5), rates(0.5)[1:], 1.0)
