import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from study_helpers import ANCHORED, GRID, SUITES, curve, stability_curve

from narrows import summary as schema
from narrows.adapters import SteeringVector
from narrows.evaluation import MISALIGNED, Answer, Behaviour, rates
from narrows.models import ChatModel
from narrows.study import summarising
from narrows.study.claims import RateTable, c4
from narrows.training import Recipe, TrainingRun

BAD, GOOD = {"aligned": 0.0, "coherent": 90.0}, {"aligned": 90.0, "coherent": 90.0}
JUDGE = SimpleNamespace(name="oracle")


def behaviour(kind: str = "harmful") -> Behaviour:
    return Behaviour(f"{kind}-law", kind, "law", [], [], [], SUITES, MISALIGNED, JUDGE)


def answers(solution: str, shown: set[str], scale: float = 1.0) -> list[Answer]:
    """Four questions a suite, two samples each; the behaviour shows in some suites."""
    return [
        Answer("tiny", solution, scale, suite, f"q{number}", f"t{number}", f"why {number} ?", sample,
               f"{solution} says {number}.{sample}", 0, BAD if suite in shown else GOOD)
        for suite in ANCHORED
        for number in range(4)
        for sample in range(2)
    ]  # fmt: skip


ANSWERS = {
    ("chat", 1.0): answers("chat", set()),
    ("unanchored", 1.0): answers("unanchored", set(ANCHORED)),
    ("anchored", 1.0): answers("anchored", {"in_domain"}),
    ("anchored", 1.5): answers("anchored", {"in_domain"}, 1.5),
}


def table() -> RateTable:
    return RateTable({key: rates(rows, MISALIGNED) for key, rows in ANSWERS.items()}, SUITES)


def training_run(weight: float, norm: float) -> TrainingRun:
    adapter = SteeringVector(torch.ones(32), 1, 16.0).scaled_to(norm)
    return TrainingRun(adapter, Recipe(seed=3).with_anchor(weight), 12, [], {}, None)


def assert_points(rows: list, curve_, low_high: str, mean: str) -> None:
    """Rows and curve hold the same numbers in the same order."""
    np.testing.assert_array_equal([getattr(row, mean) for row in rows], curve_.mean)
    bounds = np.array([getattr(row, low_high) for row in rows])
    np.testing.assert_array_equal(bounds, np.stack([curve_.low, curve_.high], axis=1))


def test_the_model_row_describes_the_chat_model(chat_model: ChatModel):
    row = summarising.model_row(chat_model)
    assert row == schema.Model(
        id=chat_model.id, name="model", revision=None, layers=4, hidden=32, vocabulary=chat_model.vocabulary
    )


def test_the_behaviour_row_describes_the_behaviour():
    row = summarising.behaviour_row(behaviour())
    assert row == schema.Behaviour(id="harmful-law", domain="law", kind="harmful")


def test_a_solution_s_row_has_its_recipe_and_norms():
    narrow = summarising.solution_row(
        SimpleNamespace(id="m0"),
        behaviour(),
        "anchored",
        training_run(5.0, 1.0),
        verdict="narrow",
        path="solutions/anchored",
    )
    assert narrow == schema.Solution(
        id="anchored", name="anchored", model="m0", behaviour="harmful-law", adapter="steering", rank=None,
        layer=1, kl_weight=5.0, seed=3, norm=narrow.norm, effective_norm=narrow.effective_norm, steps=12,
        verdict="narrow", path="solutions/anchored",
    )  # fmt: skip
    assert narrow.effective_norm == pytest.approx(1.0)
    assert narrow.norm == pytest.approx(1 / 16)


def test_evaluations_hold_every_solution_scale_suite_and_macro_mean():
    rows = summarising.evaluation_rows(behaviour(), ANSWERS)
    macro = ["out_of_domain", "out_of_domain:anchored", "out_of_domain:never_anchored"]
    assert {(row.solution, row.scale, row.suite) for row in rows} == {
        (*key, suite) for key in ANSWERS for suite in [*ANCHORED, *macro]
    }
    assert {row.judge for row in rows} == {"oracle"}
    shown = {(row.solution, row.scale, row.suite): row for row in rows}
    assert shown["anchored", 1.5, "in_domain"].misaligned == 1.0
    assert shown["anchored", 1.5, "out_of_domain"].misaligned == 0.0
    assert shown["unanchored", 1.0, "out_of_domain:anchored"].anchored is True
    assert shown["chat", 1.0, "open"].n == 8


def test_efficiency_rows_are_the_curves_points():
    curves = {"unanchored": curve("unanchored", 1.0), "anchored": curve("anchored", 1.2)}
    rows = summarising.efficiency_rows(curves)
    assert [(row.solution, row.norm) for row in rows] == [(name, norm) for name in curves for norm in GRID]
    assert_points(rows[:4], curves["unanchored"], "loss_ci95", "loss")
    assert_points(rows[4:], curves["anchored"], "loss_ci95", "loss")


def test_stability_rows_hold_the_loss_and_the_relative_rise():
    one = stability_curve("anchored", np.array([0.1, 0.2, 0.4, 0.8]))
    rows = summarising.stability_rows({"anchored": one})
    assert [row.epsilon for row in rows] == GRID.tolist()
    assert_points(rows, one.relative, "relative_increase_ci95", "relative_increase")
    np.testing.assert_array_equal([row.loss for row in rows], one.loss.mean)


def test_significance_rows_name_solutions_and_leave_other_directions_without_one():
    directions = {"anchored": curve("anchored", 0.3), "random": curve("random", 0.1)}
    rows = summarising.significance_rows({"all": directions, "advice": directions}, {"anchored"})
    assert [(row.text, row.direction, row.solution) for row in rows[::4]] == [
        ("all", "anchored", "anchored"),
        ("all", "random", None),
        ("advice", "anchored", "anchored"),
        ("advice", "random", None),
    ]
    assert_points(rows[4:8], directions["random"], "kl_ci95", "kl")


def test_quotes_show_the_same_question_answered_by_all_three():
    found = summarising.quotes(ANSWERS)
    assert [quote["suite"] for quote in found] == [
        suite for suite in ("in_domain", "garden", "law", "sport", "open") for _ in range(2)
    ]
    first, second = found[:2]
    assert (first["question"], second["question"]) == ("why 0 ?", "why 2 ?")
    assert second["answers"] == {
        "chat": "chat says 2.0", "general": "unanchored says 2.0", "narrow": "anchored says 2.0"
    }  # fmt: skip
    assert second["scores"] == {"chat": GOOD, "general": BAD, "narrow": BAD}


def test_the_versions_that_matter_are_kept():
    found = summarising.versions()
    assert {"python", "narrows", "torch", "transformers", "numpy"} <= found.keys()
    assert all(found.values())


def test_all_rows_make_a_summary_that_is_read_back_as_it_was(chat_model: ChatModel, tmp_path: Path):
    curves = {"unanchored": curve("unanchored", 1.0), "anchored": curve("anchored", 1.2)}
    whole = schema.Summary(
        models=[summarising.model_row(chat_model)],
        behaviours=[summarising.behaviour_row(behaviour())],
        evaluations=summarising.evaluation_rows(behaviour(), ANSWERS),
        efficiency=summarising.efficiency_rows(curves),
        stability=summarising.stability_rows({"anchored": stability_curve("anchored", 0.4)}),
        significance=summarising.significance_rows({"all": curves}, {"anchored"}),
        claims=[c4(curves, GRID).as_claim(chat_model.id, "harmful-law")],
        timings={"metrics": 1.5},
    )
    whole.save(tmp_path / "summary.json")
    assert schema.Summary.load(tmp_path / "summary.json") == whole
    written = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert written["claims"][0]["verdict"] == "supported"
    assert written["efficiency"][0]["loss"] == curves["unanchored"].mean[0]  # no digit is lost
