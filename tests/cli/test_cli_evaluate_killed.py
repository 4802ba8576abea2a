"""``narrows evaluate`` killed in the middle ends with the table of an evaluation that never was."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from narrows.evaluation import Question, Suite, read_answers, write_suites
from narrows.evaluation.generation.unfinished import unfinished_file

QUESTIONS = [" ".join(["what is the sea ?"] * (1 + n)) for n in range(12)]
SAMPLES = 40


def command(model: Path, folder: Path, out: Path) -> list[str]:
    """An evaluation of several batches, which takes some seconds."""
    return [
        sys.executable, "-m", "narrows", "evaluate", "--model", str(model),
        "--suites", str(folder / "suites.jsonl"), "--samples", str(SAMPLES), "--max-new-tokens", "100",
        "--out", str(out), "--device", "cpu", "--quiet",
    ]  # fmt: skip


def test_killed_and_started_again_it_ends_as_if_it_never_was(tiny_model_dir: Path, tmp_path: Path):
    asked = [Question(f"q{n}", text, "open", f"q{n}") for n, text in enumerate(QUESTIONS)]
    write_suites(tmp_path / "suites.jsonl", [Suite("open", tuple(asked))])
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    out, whole = tmp_path / "killed.jsonl", tmp_path / "whole.jsonl"
    kept = unfinished_file(out)
    child = subprocess.Popen(command(tiny_model_dir, tmp_path, out), env=env)
    deadline = time.monotonic() + 120
    while not (kept.exists() and kept.stat().st_size) and child.poll() is None:
        assert time.monotonic() < deadline, "it kept no answers"
        time.sleep(0.001)
    child.kill()
    assert child.wait() == -signal.SIGKILL
    assert not out.exists()
    made = kept.read_bytes().count(b"\n")
    assert 0 < made < len(QUESTIONS) * SAMPLES
    for table in (out, whole):
        subprocess.run(command(tiny_model_dir, tmp_path, table), env=env, check=True, timeout=120)
    assert out.read_bytes() == whole.read_bytes()
    assert len(read_answers(out)) == len(QUESTIONS) * SAMPLES
    assert not kept.exists()
