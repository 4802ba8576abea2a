"""Two processes of a launcher train what one trains: the rows shared out, or the layers too (FSDP)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from training_helpers import ANCHOR, ROWS, changed

from narrows.adapters import load_adapter
from narrows.chat import write_conversations
from narrows.geometry import read_trajectory
from narrows.models import load_chat_model
from narrows.training import Recipe, train

# An odd number of passes, so that one process has one pass fewer than the other.
STEERING = changed(steps=6, batch_size=2, accumulation=3, checkpoint_every=3)
LORA = changed(
    STEERING, adapter="lora", layer=None, layers=(1, 2), rank=2, alpha=8.0,
    target_modules=("down_proj", "q_proj"),
)  # fmt: skip
LAUNCH = [
    sys.executable, "-m", "accelerate.commands.launch", "--num_processes", "2", "--num_machines", "1",
    "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0",
]  # fmt: skip


def launched(model: Path, folder: Path, recipe: Recipe, how: list[str]) -> dict:
    """``accelerate launch -m narrows train`` with two gloo processes; what it prints as JSON."""
    write_conversations(folder / "rows.jsonl", ROWS)
    write_conversations(folder / "anchor.jsonl", ANCHOR)
    (folder / "recipe.yaml").write_text(recipe.model_dump_json(), encoding="utf-8")
    done = subprocess.run(
        [
            *LAUNCH, *how, "-m", "narrows", "train", "--model", str(model),
            "--train", str(folder / "rows.jsonl"),
            "--anchor", str(folder / "anchor.jsonl"), "--config", str(folder / "recipe.yaml"),
            "--out", str(folder / "run"), "--json",
        ],
        env=os.environ | {"ACCELERATE_USE_CPU": "true", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)  # one document: the first process alone speaks


@pytest.mark.parametrize(
    ("recipe", "how"),
    [(STEERING, ["--multi_gpu"]), (LORA, ["--use_fsdp", "--fsdp_version", "2"])],
    ids=["steering-rows-shared-out", "lora-layers-shared-out"],
)
def test_two_processes_train_what_one_trains(
    tiny_model_dir: Path, tmp_path: Path, recipe: Recipe, how: list[str]
):
    result = launched(tiny_model_dir, tmp_path, recipe, how)
    chat_model = load_chat_model(tiny_model_dir, device="cpu")
    wanted = train(chat_model, ROWS, recipe, anchor=ANCHOR, out=tmp_path / "alone")
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    for found, right in zip(log, wanted.log, strict=True):
        for name in ("loss", "kl", "effective_norm"):
            assert found[name] == pytest.approx(right[name], rel=1e-4, abs=1e-6)
    assert result["loss"] == log[-1]["loss"]
    found = load_adapter(tmp_path / "run" / "adapter.safetensors")
    for name, tensor in wanted.adapter.tensors().items():
        assert torch.allclose(found.tensors()[name], tensor, rtol=1e-3, atol=1e-5), name
    assert list(read_trajectory(tmp_path / "run")) == [0, 3, 6]
    # One run, whichever way it was trained: its folder knows the model by its whole weights.
    alone, together = (json.loads((tmp_path / name / "run.json").read_text()) for name in ("alone", "run"))
    assert alone == together
