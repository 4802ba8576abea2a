"""``narrows train`` killed again and again at random moments ends with the bytes of a run that never was.

The suite takes one kill; NARROWS_KILLS=10 takes ten, and vectors too.
"""

import os
import random
import time
from pathlib import Path

import pytest

from command_process import CommandProcess, run_command
from narrows.chat import Conversation, write_conversations
from narrows.training import CheckpointFolder

KILLS = int(os.environ.get("NARROWS_KILLS", "1"))
STEPS = 30
SHAPES = {
    "steering": [],
    "lora": ["--adapter", "lora", "--rank", "2", "--target-module", "down_proj", "--target-module", "q_proj"],
}


def command(model: Path, folder: Path, out: Path, kind: str) -> list[str]:
    """A training of a second or so, with a checkpoint at each step."""
    return [
        "train", "--model", str(model), "--out", str(out),
        "--train", str(folder / "rows.jsonl"), "--anchor", str(folder / "anchor.jsonl"),
        "--kl-weight", "2", "--anchor-rows", "1",
        "--steps", str(STEPS), "--checkpoint-every", "1", "--layer", "1", "--alpha", "8", *SHAPES[kind],
        "--learning-rate", "0.01", "--batch-size", "2", "--accumulation", "2", "--device", "cpu", "--quiet",
    ]  # fmt: skip


def files_of(out: Path) -> dict[str, bytes]:
    """Every file of a run by its name, the hidden leftovers of kills apart."""
    found = [path for path in out.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {str(path.relative_to(out)): path.read_bytes() for path in found}


@pytest.mark.parametrize("kind", list(SHAPES) if KILLS > 1 else ["lora"])
def test_killed_and_started_again_it_ends_as_if_it_never_was(
    tiny_model_dir: Path, conversations: list[Conversation], tmp_path: Path, kind: str
):
    write_conversations(tmp_path / "rows.jsonl", conversations)
    write_conversations(tmp_path / "anchor.jsonl", conversations[:3])
    out, draw = tmp_path / "killed", random.Random()
    # One after the other further on, from before the first checkpoint to just before the end.
    moments = sorted(draw.sample(range(STEPS - 2), KILLS))
    killed = 0
    for moment in moments:
        process = CommandProcess(command(tiny_model_dir, tmp_path, out, kind), tmp_path / "said")
        checkpoints = CheckpointFolder(out / "checkpoints")
        while len(checkpoints.steps()) < moment and process.running:
            time.sleep(0.001)
        time.sleep(draw.random() * 0.02)
        killed += process.kill()
    assert killed, f"this machine did not get round to a kill at any of {moments}"
    for folder in (out, tmp_path / "whole"):
        run_command(command(tiny_model_dir, tmp_path, folder, kind), tmp_path / "said")
    assert files_of(out) == files_of(tmp_path / "whole"), f"killed {killed} times, at {moments}"
