from pathlib import Path

import pytest
from cli_helpers import Run, invoke, summary_without_timings

from command_process import CommandProcess
from narrows.summary import Summary


@pytest.fixture
def no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves the report out, which takes as long as the rest and is not what a test is about."""
    monkeypatch.setattr("narrows.report.write_report", lambda folder: folder / "report.html")


def test_the_demo_leaves_a_valid_summary_and_a_report(demo_run: Path) -> None:
    summary = Summary.load(demo_run / "summary.json")
    assert [claim.id for claim in summary.claims] == ["C1", "C2", "C4", "C5", "C6", "C7"]
    assert {"chat", "unanchored", "anchored", "lifted"} <= {one.solution for one in summary.evaluations}
    page = (demo_run / "report.html").read_text()
    assert "narrows demo --model 1 --domain garden --quick" in page
    assert all(claim.id in page for claim in summary.claims)


@pytest.mark.usefixtures("no_page")
def test_the_same_command_again_finds_everything_done(
    run: Run, demo_command: tuple[object, ...], demo_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = summary_without_timings(demo_run)

    def nothing_may_be_computed(*_: object) -> None:
        raise AssertionError("a finished stage was computed again")

    monkeypatch.setattr("narrows.training.loop._one_step", nothing_may_be_computed)
    monkeypatch.setattr("narrows.evaluation.generation.complete", nothing_may_be_computed)
    result = run(*demo_command, "--out", demo_run)
    assert summary_without_timings(demo_run) == before
    for word in ("in domain", "no anchor: it spreads", "summary.json", "report.html"):
        assert word in result.stdout


def test_another_configuration_in_the_same_folder_is_refused(
    demo_command: tuple[object, ...], demo_run: Path
) -> None:
    before = (demo_run / "summary.json").read_bytes()
    result = invoke(*demo_command, "--out", demo_run, "--samples", 3)
    assert result.exit_code == 1
    assert "holds another run: config.samples differs" in result.stderr
    assert (demo_run / "summary.json").read_bytes() == before


@pytest.mark.usefixtures("no_page")
def test_a_killed_demo_goes_on_and_ends_the_same(
    run: Run, demo_command: tuple[object, ...], demo_run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    process = CommandProcess([*demo_command, "--out", out], tmp_path / "said")
    halfway = out / "solutions" / "anchored" / "checkpoints"
    process.wait_until(lambda: any(halfway.glob("step-*")))
    assert process.kill()
    assert not (out / "summary.json").exists()
    run(*demo_command, "--out", out)
    assert summary_without_timings(out) == summary_without_timings(demo_run)


def test_tuning_and_a_given_weight_exclude_each_other(tmp_path: Path) -> None:
    result = invoke("demo", "--out", tmp_path / "run", "--tune", "--kl-weight", 1)
    assert result.exit_code == 1
    assert "--kl-weight and --tune exclude each other" in result.stderr
    assert not (tmp_path / "run").exists()
