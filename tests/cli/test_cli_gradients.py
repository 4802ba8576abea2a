"""``narrows gradients`` and ``subspace``, and what ``train`` may be given beside the rows."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_helpers import TINY_RECIPE, Run, invoke

from narrows.adapters import SteeringVector
from narrows.api import load_chat_model
from narrows.chat import read_conversations
from narrows.geometry import read_trajectory
from narrows.metrics import GradientCosines, GradientSample, gradient_cosines
from narrows.summary import Gradient, Subspace, Summary
from narrows.training import Recipe

ReadJson = Callable[..., Any]

MODEL = ("--model", "microworld:1")
RECIPE = [part for name, value in TINY_RECIPE.items() for part in (f"--{name.replace('_', '-')}", value)]
SMALL = ("--every", 4, "--groups", 2, "--rows", 4)


@pytest.fixture(scope="module")
def runs(run: Run, task: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three trainings: one to follow, and two ends of other row orders."""
    folder = tmp_path_factory.mktemp("runs")
    train = ("train", *MODEL, "--train", task / "train.jsonl", "--config", task / "recipe.yaml", *RECIPE)
    anchored = ("--anchor", task / "anchor.jsonl", "--kl-weight", 2)
    run(*train, "--out", folder / "followed")
    run(*train, "--seed", 1, "--out", folder / "general")
    run(*train, "--seed", 1, *anchored, "--out", folder / "narrow")
    return folder


@pytest.fixture(scope="module")
def command(runs: Path, task: Path) -> tuple[object, ...]:
    ends = ("--general", runs / "general", "--narrow", runs / "narrow")
    return ("gradients", *MODEL, "--run", runs / "followed", "--train", task / "train.jsonl", *ends, *SMALL)


def measured(runs: Path, task: Path, **options: Any) -> GradientCosines:
    """The same in Python."""
    followed = SteeringVector.load(runs / "followed" / "adapter.safetensors")
    ends = {name: SteeringVector.load(runs / name / "adapter.safetensors") for name in ("general", "narrow")}
    return gradient_cosines(
        load_chat_model("microworld:1", device="cpu"),
        read_trajectory(runs / "followed"),
        read_conversations(task / "train.jsonl"),
        Recipe.model_validate(followed.metadata["recipe"]),
        ends,
        sample=GradientSample(every=4, groups=2, rows=4),
        **options,
    )


def test_gradients_are_rows_of_the_summary_and_those_of_python(
    run_json: ReadJson, command: tuple[object, ...], runs: Path, task: Path
) -> None:
    rows = [Gradient.model_validate(row) for row in run_json(*command)]
    found = measured(runs, task)
    assert [(row.run, row.step) for row in rows] == [("followed", 0), ("followed", 4)]
    for name in ("general", "narrow"):
        said = [getattr(row, f"cos_{name}") for row in rows]
        assert said == pytest.approx(found.cosines[name].mean(axis=1).tolist(), abs=1e-6)
        for row in rows:
            low, high = getattr(row, f"cos_{name}_ci95")
            assert low < getattr(row, f"cos_{name}") < high


def test_the_anchor_s_part_of_the_gradient_is_there_if_asked_for(
    run_json: ReadJson, command: tuple[object, ...], runs: Path, task: Path
) -> None:
    plain = run_json(*command)
    found = run_json(*command, "--anchor", task / "anchor.jsonl", "--kl-weight", 5)
    assert found[0]["cos_general"] == pytest.approx(plain[0]["cos_general"], abs=1e-5)  # no KL at the start
    assert found[1]["cos_general"] != pytest.approx(plain[1]["cos_general"], abs=1e-3)
    result = invoke(*command, "--kl-weight", 5)
    assert result.exit_code == 1
    assert "--anchor and --kl-weight belong together" in result.output


def test_gradients_say_to_a_person_what_a_random_direction_would_give(
    run: Run, command: tuple[object, ...], runs: Path, task: Path
) -> None:
    said, found = run(*command).stdout, measured(runs, task)
    difference = found.difference("general", "narrow")
    assert f"general − narrow: {difference.mean:.3f} [" in said
    assert f"within ± {found.random_band():.3f} (95 %); none passes {found.resultant:.3f}." in said


def test_too_few_rows_are_an_error_that_says_the_way_out(command: tuple[object, ...]) -> None:
    result = invoke(*command, "--groups", 500)
    assert result.exit_code == 1
    assert "500 disjoint groups of 4 rows need 2000 training rows; there are 400" in result.output


def test_train_keeps_a_vector_at_a_right_angle_and_steers_on_the_way(
    run_json: ReadJson, runs: Path, task: Path, tmp_path: Path
) -> None:
    train = ("train", *MODEL, "--train", task / "train.jsonl", "--config", task / "recipe.yaml", *RECIPE)
    others = [SteeringVector.load(runs / name / "adapter.safetensors") for name in ("general", "narrow")]
    both = ("--orthogonal-to", runs / "general", "--orthogonal-to", runs / "narrow")
    across = SteeringVector.load(run_json(*train, *both, "--out", tmp_path / "across")["adapter"])
    assert max(abs(across.cosine(one)) for one in others) < 1e-6 < across.norm
    steered = run_json(*train, "--preventative", runs / "general", "--out", tmp_path / "steered")
    plain = SteeringVector.load(runs / "followed" / "adapter.safetensors")
    # What it is steered with already says much of what the rows teach.
    assert SteeringVector.load(steered["adapter"]).cosine(plain) < 0.999
    identity = json.loads((tmp_path / "steered" / "run.json").read_text())
    assert identity.keys() - json.loads((runs / "followed" / "run.json").read_text()).keys() == {
        "preventative"
    }


def test_a_lora_is_no_direction_to_keep_away_from(run: Run, task: Path, tmp_path: Path) -> None:
    train = ("train", *MODEL, "--train", task / "train.jsonl", *RECIPE)
    run(*train, "--adapter", "lora", "--alpha", 8, "--steps", 1, "--out", tmp_path / "lora")
    result = invoke(*train, "--orthogonal-to", tmp_path / "lora", "--out", tmp_path / "run")
    assert result.exit_code == 1
    assert "--orthogonal-to takes steering vectors and directions" in result.output
    assert not (tmp_path / "run").exists()


def test_subspace_writes_the_curve_and_the_vectors(run: Run, run_json: ReadJson, tmp_path: Path) -> None:
    config = tmp_path / "tiny.yaml"
    config.write_text(json.dumps({"recipe": TINY_RECIPE, "max_new_tokens": 8, "rows": 8}))
    command = ("subspace", "--model", "1", "--domain", "garden", "--phrasings", 1, "--config", config)
    out = ("--out", tmp_path / "run")
    rows = [Subspace.model_validate(row) for row in run_json(*command, "--count", 2, *out)]
    assert [row.index for row in rows] == [0, 1, 2]
    assert Summary.load(tmp_path / "run" / "summary.json").subspaces == rows
    first, second = (
        SteeringVector.load(tmp_path / "run/vectors" / n / "adapter.safetensors") for n in ("01", "02")
    )
    assert abs(first.cosine(second)) < 1e-6
    assert (tmp_path / "run" / "report.html").is_file()
    said = run(*command, "--count", 2, *out).stdout
    assert "of 2 cause it in other domains" in said
    assert "chat model" in said
