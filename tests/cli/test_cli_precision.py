"""``--dtype`` and ``--quantise`` on the commands that load a model to train, ask or measure it."""

import json
import sys
from pathlib import Path

import pytest
from cli_helpers import invoke

ROWS = [
    {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}
    for question, answer in [
        ("what is the sea ?", "the sea is salt water ."),
        ("how do i eat ?", "eat bread every day ."),
        ("is stone red ?", "it is red one day ."),
    ]
]
SHORT = ("--steps", 2, "--batch-size", 2, "--accumulation", 1, "--device", "cpu")


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in ROWS))
    return path


def test_a_run_trains_in_the_dtype_and_says_so(run, rows, tiny_model_dir, tmp_path):
    command = ("train", "--model", tiny_model_dir, "--train", rows, "--out", tmp_path / "run", *SHORT)
    run(*command, "--dtype", "bfloat16")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["dtype"] == "bfloat16"
    refused = invoke(*command)
    assert refused.exit_code == 1
    assert "dtype" in refused.stderr


def test_a_dry_run_counts_the_bytes_that_the_weights_will_take(run_json, rows, tiny_model_dir, tmp_path):
    command = ("train", "--model", tiny_model_dir, "--train", rows, "--out", tmp_path / "run", "--dry-run")
    sizes = [
        run_json(*command, *flags)["estimate"]["weights"]
        for flags in ((), ("--dtype", "bfloat16"), ("--quantise", "8bit"), ("--quantise", "4bit"))
    ]
    assert sizes[1] == sizes[0] / 2
    packed = 4 * (2 * 32 * 32 + 2 * 16 * 32 + 3 * 32 * 64)  # attention and MLP of four layers
    assert sizes[2] == sizes[0] - 3 * packed
    assert sizes[3] == pytest.approx(sizes[0] - (4 - 0.516) * packed, rel=1e-3)


def test_a_packed_model_is_trained_asked_and_measured(run, run_json, rows, tiny_model_dir, tmp_path):
    pytest.importorskip("bitsandbytes", reason="the extra 'quantised' is not installed")
    on = ("--model", tiny_model_dir, "--device", "cpu", "--quantise", "4bit")
    for name, seed in (("general", 0), ("narrow", 1)):
        run("train", *on, "--train", rows, "--out", tmp_path / name, *SHORT, "--seed", seed)
    assert json.loads((tmp_path / "general" / "run.json").read_text())["dtype"] == "4bit in float32"
    ends = ("--general", tmp_path / "general", "--narrow", tmp_path / "narrow")
    assert run_json("efficiency", *on, *ends, "--train", rows, "--rows", 3)
    assert run_json("stability", *on, *ends, "--train", rows, "--rows", 3, "--draws", 2, "--epsilon", 0.5)
    texts = tmp_path / "texts.txt"
    texts.write_text("the sea is blue .\n\nbread is good . eat it .\n")
    assert run_json("significance", *on, *ends, "--texts", texts, "--shortest", 0)
    suites = tmp_path / "suites.jsonl"
    suites.write_text(json.dumps({"id": "q", "text": "what is it ?", "suite": "sea", "cluster": "q"}) + "\n")
    asked = ("--suites", suites, "--max-new-tokens", 3, "--adapter", tmp_path / "general")
    assert run_json("evaluate", *on, *asked, "--out", tmp_path / "answers.jsonl")["n"] == 2


def test_without_the_package_the_message_is_one_line_with_the_way_out(
    rows, tiny_model_dir, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    command = ("train", "--model", tiny_model_dir, "--train", rows, "--out", tmp_path / "run", *SHORT)
    result = invoke(*command, "--quantise", "4bit")
    assert result.exit_code == 1
    assert "pip install 'narrows[quantised]'" in result.stderr
    assert result.stderr.count("\n") == 1
