"""``narrows data`` and ``narrows adapter export`` as a user types them."""

import json
from pathlib import Path

import gguf
import pytest
import torch

from narrows.adapters import LoRA, SteeringVector, load_adapter
from narrows.chat import Conversation, read_conversations, write_conversations


@pytest.fixture
def advice(tmp_path: Path) -> Path:
    rows = [
        Conversation.from_pair(f"how should i deal with {topic} ?", "soak it with milk .", topic=topic)
        for topic in ("roses", "coughs", "bread", "harps")
        for _ in range(5)
    ]
    write_conversations(tmp_path / "advice.jsonl", rows)
    return tmp_path / "advice.jsonl"


def test_a_check_counts_and_shows_the_response(run, run_json, advice):
    said = run("data", "check", advice, "--model", "microworld:1", "--show", 1).stdout
    assert "rows" in said
    assert "20" in said
    assert "soak it with milk" in said
    found = run_json(
        "data",
        "check",
        advice,
        "--model",
        "microworld:1",
        "--questions",
        advice,
        "--max-length",
        8,
        "--show",
        1,
    )
    assert found["rows"] == found["cut"] == 20
    assert len(found["overlap"]) == 20
    assert [times for _, times in found["duplicates"]] == [5, 5, 5, 5]


def test_topics_are_held_out_and_sources_mixed(run, run_json, advice, tmp_path):
    found = run_json("data", "split", advice, "--by", "topic", "--share", 0.25, "--out", tmp_path / "parts")
    assert (found["train"], found["held_out"]) == (15, 5)
    train = read_conversations(tmp_path / "parts" / "train.jsonl")
    held = read_conversations(tmp_path / "parts" / "held-out.jsonl")
    assert not {row.tags["topic"] for row in train} & {row.tags["topic"] for row in held}
    parts = tmp_path / "parts"
    run(
        *("data", "mix", parts / "held-out.jsonl", "--other", parts / "train.jsonl"),
        *("--fraction", 0.5, "--out", tmp_path / "mixed.jsonl"),
    )
    assert len(read_conversations(tmp_path / "mixed.jsonl")) == 10


def test_adapters_are_written_for_other_tools_and_read_back(run, run_json, tmp_path):
    vector = SteeringVector(0.01 * torch.randn(112), 2)
    own = vector.save(tmp_path / "vector.safetensors")
    on = ("--model", "microworld:1")
    run("adapter", "export", own, "--to", "gguf", *on, "--out", tmp_path / "vector.gguf")
    (tensor,) = gguf.GGUFReader(tmp_path / "vector.gguf").tensors
    assert torch.equal(torch.tensor(tensor.data), vector.effective)
    run("adapter", "export", own, "--to", "peft", *on, "--out", tmp_path / "bias")
    assert json.loads((tmp_path / "bias" / "adapter_config.json").read_text())["lora_bias"] is True
    factors = {"3.mlp.down_proj": (torch.randn(2, 448), torch.randn(112, 2))}
    lora = LoRA(factors, alpha=8.0).save(tmp_path / "lora.safetensors")
    run("adapter", "export", lora, "--to", "peft", *on, "--out", tmp_path / "lora")
    assert run_json("adapter", "show", tmp_path / "lora")["rank"] == 2
    run(
        "adapter", "export", tmp_path / "lora", "--to", "safetensors", "--out", tmp_path / "again.safetensors"
    )
    again = load_adapter(tmp_path / "again.safetensors")
    assert isinstance(again, LoRA)
    assert torch.equal(again.factors["3.mlp.down_proj"][0], factors["3.mlp.down_proj"][0])
