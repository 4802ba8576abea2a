"""The verdicts on what was predicted: each can be held, failed and undecided."""

from dataclasses import replace

import numpy as np
import pytest

from narrows.study.worlds.predictions import Clause, Prediction, requests
from narrows.study.worlds.predictions.shares import predictions
from narrows.study.worlds.row import BEYOND, WITHIN, Measured
from world_rows import before, grid, row


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (None, "not measured"),
        (Measured(0.5, 0.2, 0.8), "held"),
        (Measured(0.5, -0.2, 0.8), "inconclusive"),
        (Measured(-0.5, -0.8, -0.2), "failed"),
        (Measured(0.5, 0.2, 1.2), "inconclusive"),
        (Measured(1.5, 1.2, 1.8), "failed"),
        (Measured(0.5), "inconclusive"),
    ],
)
def test_a_clause_holds_if_the_whole_interval_does(found: Measured | None, verdict: str):
    assert Clause("between 0 and 1", found, low=0.0, high=1.0).verdict == verdict


def test_an_interval_holds_a_number_or_does_not():
    assert Clause("holds 0", Measured(0.1, -0.1, 0.3), holds=0.0).verdict == "held"
    assert Clause("holds 0", Measured(0.2, 0.1, 0.3), holds=0.0).verdict == "failed"
    assert Clause("holds 0", Measured(0.0), holds=0.0).verdict == "inconclusive"


def test_a_number_without_an_interval_is_decided_where_it_has_none():
    assert Clause("above 0", Measured(0.5), low=0.0, bare=True).verdict == "held"
    assert Clause("above 0", Measured(-0.5), low=0.0, bare=True).verdict == "failed"


def test_a_prediction_holds_if_all_clauses_do():
    held, failed, missing = (
        Clause("x", one, low=0.0, bare=True) for one in (Measured(1.0), Measured(-1.0), None)
    )
    assert Prediction(1, "", (held, held)).verdict == "held"
    assert Prediction(1, "", (held, failed)).verdict == "failed"
    assert Prediction(1, "", (held, missing)).verdict == "inconclusive"
    assert Prediction(1, "", (missing,)).verdict == "not measured"
    assert Prediction(1, "", ()).verdict == "not measured"


def by_number(rows: list) -> dict[int, Prediction]:
    return {one.number: one for one in predictions(rows)}


def clause(prediction: Prediction, says: str) -> str:
    (found,) = [one for one in prediction.clauses if says in one.says]
    return found.verdict


def test_a_preference_that_follows_the_ratio_holds_and_one_against_it_fails():
    follows, against = by_number(grid(noise=0.02)), by_number(grid(slope=-3.0, noise=0.02))
    assert list(follows) == list(range(1, 12))
    assert clause(follows[1], "slope") == "held"
    assert clause(against[1], "slope") == "failed"
    assert clause(against[1], "below .15") == "failed"
    assert clause(follows[2], "varies") == "held"
    assert clause(follows[3], "efficiency: above 0") == "held"
    rng = np.random.default_rng(3)
    near = [
        replace(one, efficiency=Measured(one.preference.value - 0.5 + 0.05 * rng.normal())) for one in grid()
    ]
    assert clause(by_number(near)[3], "efficiency: Spearman") == "held"
    turned = [replace(one, efficiency=Measured(-one.efficiency.value)) for one in grid(noise=0.02)]
    assert by_number(turned)[3].verdict == "failed"
    assert clause(follows[5], "more than half") == "held"


def test_significance_that_follows_preference_fails():
    rows = [
        replace(one, significance=Measured(0.2 if one.preference.value > 0.5 else -0.2)) for one in grid()
    ]
    assert clause(by_number(rows)[4], "prefer the narrow") == "failed"


def null(inside: float, efficiency: Measured) -> list:
    rates = {"unanchored": {"in_domain": Measured(inside), "out_of_domain": Measured(inside)}}
    return [
        row("no-trait", None, None, 0.9, seed=seed, rates=rates, efficiency=replace(efficiency, value=value),
            stability=Measured(value), significance=Measured(value))
        for seed, value in enumerate((-0.01, 0.012, 0.005, -0.008))
    ]  # fmt: skip


def test_the_null_world_fails_where_something_is_brought_out():
    nothing, something = by_number(null(0.2, Measured(0.0)))[6], by_number(null(0.8, Measured(0.0)))[6]
    assert nothing.verdict == "held"
    assert clause(something, "below .35") == "failed"


def test_exchanged_remedies_that_change_the_preference_fail():
    same = [
        row(name, 0.25, 0.02, 0.8 + 0.01 * seed, seed=seed, significance=Measured(0.01 * seed))
        for name in ("shipped", "exchanged")
        for seed in range(4)
    ]
    apart = [
        one if one.world == "shipped" else replace(one, preference=Measured(0.1 + 0.01 * one.seed))
        for one in same
    ]
    assert clause(by_number(same)[7], "preference") == "held"
    assert clause(by_number(apart)[7], "preference") == "failed"


def test_harm_beyond_its_reach_fails():
    def bounded(beyond: float) -> list:
        rates = {
            "in_domain": Measured(0.9),
            "out_of_domain": Measured(0.4),
            WITHIN: Measured(0.7),
            BEYOND: Measured(beyond),
        }
        return [row("bounded", 0.25, 0.02, 0.5, seed=seed, rates={"unanchored": rates}) for seed in range(4)]

    assert by_number(bounded(0.1))[8].verdict == "held"
    assert by_number(bounded(0.7))[8].verdict == "failed"


def along(trait_at: int, general_at: int) -> list:
    """A pre-training whose remedies are known at step 1000."""
    return [
        row("shipped", 0.25, 0.02, 0.9 if step is None or step >= general_at else 0.05, step=step,
            compared=step is None, target=target,
            before=before(knows=0.95 if step is None or step >= 1000 else 0.2,
                          trait=0.95 if step is None or step >= trait_at else 0.1))
        for step in (500, 1000, 2000, 4000, None)
        for target in ("pets", "pottery")
    ]  # fmt: skip


def test_along_pre_training_the_order_decides():
    later, same = by_number(along(4000, 4000)), by_number(along(1000, 4000))
    assert (later[10].verdict, later[11].verdict) == ("held", "held")
    assert same[10].verdict == "failed"
    assert same[11].verdict == "failed", "the trait is inferred, and nothing general can be brought out"
    assert by_number(along(4000, 1000))[11].verdict == "failed", "general before the trait is inferred"


def test_system_turns_decide_or_documents_do():
    """The second family's predictions, where documents and system turns are at odds."""
    documents = {"asked-narrow": 0.9, "asked-general": 0.05, "unasked": 0.9, "unasked-rare": 0.1}
    turned = documents | {"asked-narrow": 0.1, "asked-general": 0.9}

    def verdicts(preferences: dict[str, float]) -> list[str]:
        rows = [
            row(world, 0.1, 0.1, shown + 0.01 * number, seed=number)
            for world, shown in preferences.items()
            for number in range(4)
        ]
        return [one.verdict for one in requests.predictions(rows)]

    assert verdicts(turned) == ["held", "held", "held"]
    assert verdicts(documents) == ["failed", "held", "held"]
    assert verdicts({"unasked": 0.1}) == ["not measured", "failed", "not measured"]
