"""``narrows evaluate`` killed in the middle ends with the table of an evaluation that never was."""

from pathlib import Path

from command_process import CommandProcess, run_command
from narrows.evaluation import Question, Suite, read_answers, write_suites
from narrows.evaluation.generation.unfinished import unfinished_file

QUESTIONS = [" ".join(["what is the sea ?"] * (1 + n)) for n in range(12)]
SAMPLES = 24


def command(model: Path, folder: Path, out: Path) -> list[str]:
    """An evaluation of several batches, which takes some seconds."""
    return [
        "evaluate", "--model", str(model),
        "--suites", str(folder / "suites.jsonl"), "--samples", str(SAMPLES), "--max-new-tokens", "60",
        "--out", str(out), "--device", "cpu", "--quiet",
    ]  # fmt: skip


def test_killed_and_started_again_it_ends_as_if_it_never_was(tiny_model_dir: Path, tmp_path: Path):
    asked = [Question(f"q{n}", text, "open", f"q{n}") for n, text in enumerate(QUESTIONS)]
    write_suites(tmp_path / "suites.jsonl", [Suite("open", tuple(asked))])
    out, whole = tmp_path / "killed.jsonl", tmp_path / "whole.jsonl"
    kept = unfinished_file(out)
    process = CommandProcess(command(tiny_model_dir, tmp_path, out), tmp_path / "said")
    process.wait_until(lambda: kept.exists() and kept.stat().st_size)
    assert process.kill()
    assert not out.exists()
    made = kept.read_bytes().count(b"\n")
    assert 0 < made < len(QUESTIONS) * SAMPLES
    for table in (out, whole):
        run_command(command(tiny_model_dir, tmp_path, table), tmp_path / "said")
    assert out.read_bytes() == whole.read_bytes()
    assert len(read_answers(out)) == len(QUESTIONS) * SAMPLES
    assert not kept.exists()
