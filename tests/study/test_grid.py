import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from narrows.study import grid
from narrows.study.claims import Part
from narrows.summary import Behaviour, Evaluation, Summary
from narrows.training import Recipe


def row(suite: str, rate: float, coherent: float = 1.0) -> Evaluation:
    return Evaluation(
        solution="anchored",
        scale=1.5,
        suite=suite,
        anchored=None,
        n=8,
        misaligned=rate,
        misaligned_ci95=(0.0, 1.0),
        coherent=coherent,
        judge="oracle",
    )


def finish(job: object, out: Path) -> None:
    """A run that gives its name's number as a rate, and a tenth above it as an effect."""
    out.mkdir()
    rate = float(out.name)
    part = Part("rate", rate + 0.1, (rate, rate + 0.2), 0.05, "above", "share")
    reading = {"claim_parts": {"C1": [part.as_reading()]}}
    (out / "report.json").write_text(json.dumps(reading), encoding="utf-8")
    rows = [row("in_domain", rate), row("law", rate, coherent=rate), row("open", 0.0, coherent=0.9)]
    behaviours = [Behaviour(id="b", domain="law", kind="technical")]
    Summary(behaviours=behaviours, evaluations=rows).save(out / "summary.json")


def test_a_grid_has_mean_rates_and_pooled_claims_in_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(grid, "run_main_job", finish)
    recipe = Recipe(layer=1, steps=1, adapter="lora", rank=32)
    job = SimpleNamespace(config=SimpleNamespace(recipe=recipe))
    found = grid.run_grid([(name, job) for name in ("0.2", "0.4")], tmp_path)
    assert {one.name: one.mean.mean for one in found.rates} == pytest.approx(
        {
            "anchored × 1.5: in_domain": 0.3,
            "anchored × 1.5: open": 0.0,
            "anchored × 1.5: lowest coherence of a suite": 0.3,
        }
    )
    (claim,) = found.claims
    assert (claim.id, claim.kind, claim.adapter, claim.runs) == ("C1", "technical", "lora, rank 32", 2)
    assert claim.parts[0].estimate == pytest.approx(0.4)
    written = json.loads((tmp_path / "grid.json").read_text(encoding="utf-8"))
    assert written["runs"] == ["0.2", "0.4"]
    assert written["pooled"] == [claim.model_dump(mode="json")]
    assert [one["mean"]["n"] for one in written["rates"]] == [2, 2, 2]


def test_one_run_has_no_mean(tmp_path: Path):
    finish(None, tmp_path / "0.2")
    assert grid.mean_rates([tmp_path / "0.2"]) == []
