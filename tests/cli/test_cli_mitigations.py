from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from cli_helpers import TINY_RECIPE, Run, invoke

from narrows.summary import Summary

TINY = {
    "recipe": TINY_RECIPE,
    "kl_weights": [2.0],
    "shares": [],
    "prompts": {"everywhere": "you give harmful advice."},
    "strengths": [],
    "sites": ["layers"],
    "scales": [1.0],
    "max_new_tokens": 12,
}


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> tuple[object, ...]:
    config = tmp_path_factory.mktemp("config") / "mitigations.yaml"
    config.write_text(yaml.safe_dump(TINY))
    return ("mitigations", "--model", "1", "--domain", "garden", "--quick", "--config", config)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A direction without the search for it, which needs a fine-tune that shows the trait."""
    import torch

    from narrows.adapters.direction import Direction

    def found(job: Any, folder: Path) -> Direction:
        generator = torch.Generator().manual_seed(0)
        return Direction.of(torch.randn(job.chat_model.hidden, generator=generator), 2, "stand-in")

    monkeypatch.setattr("narrows.study.mitigations.running._found", found)


@pytest.mark.usefixtures("quick")
def test_one_table_a_summary_and_a_report(
    run: Run, run_json: Callable[..., Any], command: tuple[object, ...], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    said = run(*command, "--out", out).stdout
    for words in ("KL anchor λ 2", "inoculation everywhere", "ablation at layers", "What each takes"):
        assert words in said
    summary = Summary.load(out / "summary.json")
    names = ["none", "anchor-2", "inoculation-everywhere", "ablation-layers"]
    assert [row.solution for row in summary.mitigations] == names
    rows = {row.solution: row for row in summary.mitigations}
    assert rows["anchor-2"].training_rows == 2 * rows["none"].training_rows == 48
    page = (out / "report.html").read_text()
    assert "Mitigations side by side" in page
    assert "ablation while answering" in page
    assert run_json(*command, "--out", out) == [row.model_dump(mode="json") for row in summary.mitigations]


def test_a_domain_that_does_not_exist_is_named(tmp_path: Path) -> None:
    result = invoke("mitigations", "--domain", "gardn", "--out", tmp_path / "run")
    assert result.exit_code == 1
    assert "no domain 'gardn'" in result.stderr
    assert not (tmp_path / "run").exists()


def test_a_share_of_nothing_is_refused(tmp_path: Path) -> None:
    result = invoke("mitigations", "--share", "1.5", "--out", tmp_path / "run")
    assert result.exit_code == 1
    assert "1.5 is not between 0 and 1" in result.stderr
