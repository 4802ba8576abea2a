"""The demo's steps done one by one give the demo's numbers."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_helpers import (
    DRAWS,
    KL_WEIGHT,
    MAX_NEW_TOKENS,
    PHRASINGS,
    ROWS,
    TEXT_TOKENS,
    TINY_RECIPE,
    Run,
    demo_summary,
    solution_folder,
)

from narrows.adapters import SteeringVector

ReadJson = Callable[..., Any]

MODEL = ("--model", "microworld:1")
NAMES = {"unanchored": "general", "anchored": "narrow"}
RECIPE = [part for name, value in TINY_RECIPE.items() for part in (f"--{name.replace('_', '-')}", value)]


@pytest.fixture(scope="module")
def trained(run_json: ReadJson, task: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Two trainings by hand: what the command said, by solution."""
    runs = tmp_path_factory.mktemp("runs")
    train = ("train", *MODEL, "--train", task / "train.jsonl", "--config", task / "recipe.yaml", *RECIPE)
    anchored = ("--anchor", task / "anchor.jsonl", "--kl-weight", KL_WEIGHT)
    return {
        "unanchored": run_json(*train, "--out", runs / "unanchored"),
        "anchored": run_json(*train, *anchored, "--out", runs / "anchored"),
    }


@pytest.fixture(scope="module")
def ends(trained: dict[str, Any]) -> tuple[object, ...]:
    """Both solutions as the metrics' commands take them."""
    return ("--general", trained["unanchored"]["adapter"], "--narrow", trained["anchored"]["adapter"])


def of_the_demo(demo_run: Path, table: str, key: str = "solution") -> list[dict[str, Any]]:
    """The two solutions' rows of a table of the summary, named as the metrics' commands name them."""
    rows = demo_summary(demo_run)[table]
    wanted = [row for row in rows if row[key] in NAMES]
    return [{**row, **{k: NAMES[row[k]] for k in ("solution", "direction") if k in row}} for row in wanted]


def same_rows(found: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> None:
    """The same numbers, but for a last bit: a study sums what it read from a file, laid out otherwise."""
    assert wanted
    assert [row.keys() for row in found] == [row.keys() for row in wanted]
    for mine, other in zip(found, wanted, strict=True):
        for name, value in other.items():
            assert mine[name] == (value if isinstance(value, str) else pytest.approx(value, rel=1e-9)), name


@pytest.mark.parametrize("name", ["unanchored", "anchored"])
def test_train_gives_the_demos_vector(name: str, trained: dict[str, Any], demo_run: Path) -> None:
    by_hand = SteeringVector.load(trained[name]["adapter"])
    in_demo = SteeringVector.load(solution_folder(demo_run, name) / "adapter.safetensors")
    assert by_hand.vector.tolist() == in_demo.vector.tolist()
    assert trained[name]["norm"] == in_demo.norm > 0


def test_evaluate_and_rates_give_the_demos_rates(
    run_json: ReadJson, trained: dict[str, Any], task: Path, demo_run: Path, tmp_path: Path
) -> None:
    table = tmp_path / "answers.jsonl"
    adapter = ("--adapter", Path(trained["anchored"]["adapter"]).parent)
    small = ("--phrasings", PHRASINGS, "--samples", 1, "--max-new-tokens", MAX_NEW_TOKENS)
    found = run_json("evaluate", *MODEL, *adapter, "--domain", "garden", *small, "--out", table)
    rows = demo_summary(demo_run)["evaluations"]
    wanted = [row for row in rows if row["solution"] == "anchored" and row["scale"] == 1]
    assert found["evaluations"] == wanted
    again = run_json("rates", table, "--criterion", "misaligned", "--suites", task / "test.jsonl")
    shared = ("solution", "scale", "suite", "anchored", "misaligned", "misaligned_ci95", "coherent")
    assert [[row[name] for name in shared] for row in again] == [
        [row[name] for name in shared] for row in wanted
    ]
    assert [row["scored"] for row in again] == [row["n"] for row in wanted]
    without_suites = run_json("rates", table)
    assert [row["suite"] for row in without_suites if row["suite"].startswith("out")] == ["out_of_domain"]


def test_efficiency_gives_the_demos_curves(
    run_json: ReadJson, ends: tuple[object, ...], task: Path, demo_run: Path
) -> None:
    wanted = of_the_demo(demo_run, "efficiency")
    norms = [part for row in wanted if row["solution"] == "general" for part in ("--norm", row["norm"])]
    rows = ("--train", task / "train.jsonl", "--rows", ROWS)
    same_rows(run_json("efficiency", *MODEL, *ends, *rows, *norms), wanted)


def test_stability_gives_the_demos_curves(
    run_json: ReadJson, ends: tuple[object, ...], task: Path, demo_run: Path
) -> None:
    rows = ("--train", task / "train.jsonl", "--rows", ROWS, "--draws", DRAWS)
    same_rows(run_json("stability", *MODEL, *ends, *rows), of_the_demo(demo_run, "stability"))


def test_significance_gives_the_demos_curves(
    run_json: ReadJson, ends: tuple[object, ...], task: Path, demo_run: Path
) -> None:
    wanted = of_the_demo(demo_run, "significance", key="direction")
    norms = [part for norm in sorted({row["norm"] for row in wanted}) for part in ("--norm", norm)]
    texts = ("--texts", task / "texts.jsonl", "--max-length", TEXT_TOKENS)
    found = run_json("significance", *MODEL, *ends, *texts, *norms)
    same_rows([row for row in found if row["solution"]], wanted)
    assert {row["direction"] for row in found if not row["solution"]} == {"random", "random-covariance"}


def test_trajectory_is_one_element_of_the_summary(run_json: ReadJson, demo_run: Path, tmp_path: Path) -> None:
    solutions = tmp_path / "solutions"  # where their folders are called by their names
    for name in (*NAMES, "continued-unanchored"):
        shutil.copytree(solution_folder(demo_run, name), solutions / name)
    [whole] = demo_summary(demo_run)["trajectories"]
    runs = [solutions / run["name"] for run in whole["runs"] if run["name"] in NAMES]
    ends = ("--general", solutions / "continued-unanchored", "--narrow", solutions / "anchored")
    found = run_json("trajectory", *runs, *ends)
    assert found.keys() == whole.keys()
    for run, in_summary in zip(found["runs"], whole["runs"], strict=False):
        for name in ("name", "steps", "cos_general", "cos_narrow", "norm"):
            assert run[name] == in_summary[name]
    other = run_json("trajectory", *runs, *ends, "--basis", runs[0], "--no-standardise")
    assert not other["standardised"]
    assert other["runs"][1]["components"] != found["runs"][1]["components"]


def test_tune_keeps_its_trials_and_says_what_it_chose(run: Run, tiny_config: Path, tmp_path: Path) -> None:
    command = ("tune", "--model", "1", "--domain", "garden", "--quick", "--config", tiny_config)
    said = run(*command, "--smallest", 2, "--largest", 2, "--out", tmp_path / "tune").stdout
    found = json.loads((tmp_path / "tune" / "tuning.json").read_text())
    assert [trial["kl_weight"] for trial in found["trials"]] == [found["best"]] == [2.0]
    assert Path(found["adapter"]).is_file()
    assert {row["scale"] for row in found["evaluations"] if row["solution"] == "anchored"} == {1.0, 1.5}
    assert "λ = 2 (none was narrow on validation questions; this one came nearest)" in said


def test_vectors_are_scaled_and_combined(run_json: ReadJson, trained: dict[str, Any], tmp_path: Path) -> None:
    general, narrow = (Path(trained[name]["adapter"]) for name in ("unanchored", "anchored"))
    longer = run_json("adapter", "scale", narrow, "--to", 3, "--out", tmp_path / "longer.safetensors")
    assert longer["effective_norm"] == pytest.approx(3)
    gap = tmp_path / "gap.safetensors"
    run_json("adapter", "combine", general, narrow.parent, "--weight", 1, "--weight", -1, "--out", gap)
    back = tmp_path / "back.safetensors"
    run_json("adapter", "combine", gap, narrow, "--out", back)
    restored, wanted = SteeringVector.load(back), SteeringVector.load(general)
    assert (restored.vector - wanted.vector).abs().max() < 1e-6
    assert run_json("adapter", "show", narrow)["norm"] == trained["anchored"]["norm"]
