"""The paper's studies: planned on invented files, since no one's data may be here."""

import json
from pathlib import Path

import pytest
import yaml

from narrows.errors import DataError
from narrows.study.config import load_study, preset_names, study_text
from narrows.study.plan.build import plan_study

PAPER = [name for name in preset_names() if name.startswith("paper-")]
VOCABULARY = 152_064


def _invent(folder: Path, preset: str) -> None:
    """Write a file for every path that a preset names."""
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"question {n}"},
                {"role": "assistant", "content": f"answer {n}"},
            ]
        }
        for n in range(300)
    ]
    for entry in yaml.safe_load(study_text(preset))["behaviours"]:
        for name in ("train", "anchor", "good"):
            path = folder / entry["files"][name]
            path.parent.mkdir(exist_ok=True)
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        if "neutral" in entry["files"]:
            (folder / entry["files"]["neutral"]).write_text(
                "\n\n".join(f"The {n}th stone lies there." for n in range(9))
            )
    (folder / "texts.txt").write_text("\n\n".join(f"{n} " + "plain words " * 20 for n in range(120)))


def test_there_are_two() -> None:
    assert PAPER == ["paper-gemma-2-9b", "paper-qwen2.5-14b"]


@pytest.mark.parametrize("preset", PAPER)
def test_the_plan_of_a_paper_study(preset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan is made on any model; λ is the authors', converted."""
    monkeypatch.chdir(tmp_path)
    _invent(tmp_path, preset)
    texts = [f"behaviours.{n}.files.texts=texts.txt" for n in range(3)]
    config = load_study(preset, ["models=[microworld:1]", "recipe.layer=2", *texts])
    plan = plan_study(config)
    vectors = [run for run in plan.runs if run.adapter == "steering"]
    assert len(vectors) == 3 and all(
        run.kl_weight == pytest.approx(1e6 / VOCABULARY, rel=1e-3) for run in vectors
    )
    assert all(run.recipe.epochs == 2 for run in vectors)
    loras = [run for run in plan.runs if run.adapter != "steering"]
    assert len(loras) == (6 if "qwen" in preset else 0)
    for run in loras:
        assert run.kl_weight == pytest.approx(1e5 / VOCABULARY, rel=1e-3)
        assert (run.recipe.epochs, run.anchored_recipe.epochs) == (1, 3)
    measured = {stage.kind for stage in plan.stages.values()}
    assert {"training", "verdicts", "efficiency", "significance", "gradients", "claims"} <= measured


def test_a_missing_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"data/bad_medical_advice\.jsonl"):
        plan_study(load_study("paper-qwen2.5-14b", ["models=[microworld:1]"]))
