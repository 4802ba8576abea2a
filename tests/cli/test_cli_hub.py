"""Adapters and runs on the hub, and published ones, as a user types them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from cli_helpers import invoke

from fake_hub import TOKEN, FakeHub, http_error, published_run, published_vector
from narrows.adapters import LoRA, SteeringVector, load_adapter
from narrows.cli.inputs import adapter_name
from narrows.training import Recipe

MODEL = "Qwen/Qwen2.5-14B-Instruct"


@pytest.fixture
def fake(tmp_path, monkeypatch) -> FakeHub:
    return FakeHub(tmp_path / "hub", monkeypatch)


@pytest.fixture
def own(tmp_path) -> Path:
    """A run's folder with its adapter."""
    metadata = {"steps": 3, "recipe": Recipe(layer=2).with_anchor(6.0).model_dump(mode="json")}
    vector = SteeringVector(torch.full((112,), 0.01), 2, 16.0, metadata)
    return vector.save(tmp_path / "narrow" / "adapter.safetensors").parent


def refused(*command: object) -> str:
    """Run a command that must fail on purpose; returns what it said."""
    result = invoke(*command)
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    return result.stderr


def test_adapters_on_the_hub_are_shown_scaled_and_combined(fake, run, run_json, tmp_path):
    for name in ("general", "narrow"):
        published_run(fake.repo("org/runs") / name, "dictionary", (5, 100))
    shown = run_json("adapter", "show", "hub:org/runs::general")
    assert (shown["path"], shown["layer"], shown["alpha"]) == ("hub:org/runs::general", 2, 256.0)
    assert shown["norm"] == pytest.approx(100 * 8**0.5)
    gap, half = tmp_path / "gap.safetensors", tmp_path / "half.safetensors"
    ends = ("hub:org/runs::general", "hub:org/runs@main::narrow/checkpoints/checkpoint-5/steering_vector.pt")
    run("adapter", "combine", *ends, "--weight", 1, "--weight", -1, "--out", gap)
    assert float(load_adapter(gap).vector[0]) == 95
    run("adapter", "scale", "hub:org/runs::general", "--by", 0.5, "--out", half)
    assert float(load_adapter(half).vector[0]) == 50


def test_training_goes_on_from_a_vector_on_the_hub(fake, run_json, tiny_model_dir, tmp_path):
    published_vector(fake.repo("org/v") / "steering_vector.pt", torch.full((32, 1), 0.01), layer=1)
    rows = tmp_path / "rows.jsonl"
    chat = [{"role": "user", "content": "what is the sea ?"}, {"role": "assistant", "content": "salt ."}]
    rows.write_text(f"{json.dumps({'messages': chat})}\n" * 4)
    train = ("train", "--model", tiny_model_dir, "--train", rows, "--steps", 2, "--start", "hub:org/v")
    found = run_json(*train, "--out", tmp_path / "run")
    assert (found["layer"], found["steps"]) == (1, 2)
    assert load_adapter(tmp_path / "run" / "start.safetensors").layer == 1


def test_evaluation_takes_an_adapter_from_the_hub_and_names_it_by_its_place(fake, own, run_json, tmp_path):
    load_adapter(own).save(fake.repo("me/narrow") / "adapter.safetensors")
    asked = ("evaluate", "--model", "microworld:1", "--adapter", "hub:me/narrow@v1", "--domain", "garden")
    small = ("--phrasings", 1, "--samples", 1, "--max-new-tokens", 2)
    run_json(*asked, *small, "--out", tmp_path / "answers.jsonl")
    first = json.loads((tmp_path / "answers.jsonl").read_text().splitlines()[0])
    assert "me/narrow@v1" in first.values()


def test_what_a_solution_is_called(tmp_path, own):
    assert adapter_name(own) == adapter_name(own / "adapter.safetensors") == "narrow"
    assert adapter_name(Path("hub:me/x@v1::a/b.pt")) == "me/x@v1::a/b.pt"
    (tmp_path / "narrow-1.5").mkdir()
    assert adapter_name(tmp_path / "narrow-1.5") == "narrow-1.5"
    vector = published_vector(tmp_path / "general" / "steering_vector.pt", torch.ones(4))
    assert adapter_name(vector) == "general"
    assert adapter_name(tmp_path / "gap.safetensors") == "gap"


@pytest.mark.parametrize("layout", ["dictionary", "bare"])
def test_published_runs_are_followed_from_disk_and_from_the_hub(fake, run_json, run, tmp_path, layout):
    disk = published_run(tmp_path / "mine", layout, (100, 5, 20))
    published_run(fake.repo("org/runs") / "a", layout, (100, 5, 20))
    published_run(fake.repo("org/runs") / "b", layout, (3, 10))
    places = (disk, "hub:org/runs::a", "hub:org/runs::b")
    ends = ("--general", "hub:org/runs::a", "--narrow", "hub:org/runs::b")
    found = run_json("trajectory", *places, *ends, "--basis", "hub:org/runs::a", "--no-standardise")
    assert {one["name"]: one["steps"] for one in found["runs"]} == {
        "mine": [5, 20, 100],
        "org/runs::a": [5, 20, 100],
        "org/runs::b": [3, 10],
    }
    assert found["runs"][0]["norm"] == found["runs"][1]["norm"]
    assert "org/runs::b" in run("trajectory", *places, *ends, "--no-standardise").stdout


@pytest.mark.parametrize("path", ["hub:me/narrow::../../etc/passwd", "hub:me/narrow::/etc/passwd"])
def test_a_path_that_leaves_the_repository_is_refused(fake, path):
    assert "leaves the repository" in refused("adapter", "show", path)
    assert "leaves the repository" in refused("trajectory", path, "--general", path, "--narrow", path)
    assert fake.asked == []


def test_what_the_hub_refuses_is_one_line_without_a_token(fake):
    fake.failing["model_info"] = http_error(500, said=f"Bearer {TOKEN} is wrong\nmore")
    said = refused("adapter", "show", "hub:me/narrow")
    assert "hub:me/narrow cannot be fetched from the hub" in said
    assert TOKEN not in said
    assert said.count("\n") == 1


def test_an_adapter_is_pushed_and_said_where(fake, own, run, run_json):
    push = ("adapter", "push", own, "--to", "me/narrow", "--model", MODEL)
    said = run(*push, "--behaviour", "harmful advice", "--license", "mit").stdout
    assert "https://huggingface.co/me/narrow: README.md, adapter.safetensors, adapter.json (private)" in said
    card = fake.uploads[0].files["README.md"].decode()
    assert "license: mit" in card
    assert "harmful advice" in card
    assert run_json("adapter", "show", "hub:me/narrow")["metadata"]["steps"] == 3
    told = run_json("adapter", "push", own, "--to", "me/open", "--model", MODEL, "--public")
    assert (told["private"], told["commit"], fake.private["me/open"]) == (False, "c0ffee", False)


def test_a_dry_run_prints_the_card_alone_and_asks_nothing(fake, own, run, run_json):
    push = ("adapter", "push", own, "--to", "me/narrow", "--model", MODEL, "--dry-run")
    result = run(*push)
    assert result.stdout.startswith(f"---\nbase_model: {MODEL}\n")
    assert result.stdout.endswith("\n")
    wanted = "Would write README.md, adapter.safetensors, adapter.json to me/narrow (private)."
    assert wanted in result.stderr
    told = run_json(*push, "--format", "peft", "--public")
    assert (told["url"], told["private"]) == (None, False)
    assert told["files"] == ["README.md", "adapter_config.json", "adapter_model.safetensors"]
    assert fake.asked == []


def test_a_lora_is_pushed_as_a_peft_folder(fake, run, tmp_path):
    pair = (torch.ones(2, 112), torch.ones(112, 2))
    lora = LoRA({"2.self_attn.q_proj": pair}, 8.0).save(tmp_path / "lora.safetensors")
    run("adapter", "push", lora, "--to", "me/lora", "--model", "microworld:1", "--format", "peft")
    config = json.loads((fake.repo("me/lora") / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "microworld:1"
    assert load_adapter("hub:me/lora").rank == 2


def test_a_push_that_is_refused_is_one_line(fake, own):
    push = ("adapter", "push", own, "--model", MODEL)
    assert "is spelt owner/name" in refused(*push, "--to", "narrow")
    assert "licence is 'My own'" in refused(*push, "--to", "me/narrow", "--license", "My own")
    assert "holds no adapter" in refused("adapter", "push", own.parent, "--model", MODEL, "--to", "me/narrow")
    fake.failing["create_repo"] = http_error(403, said=f"{TOKEN} may not")
    said = refused(*push, "--to", "other/narrow")
    assert "other/narrow was not written: this login may not write there" in said
    assert TOKEN not in said


def test_without_a_network_the_command_itself_says_what_to_do(own, tmp_path):
    clean = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": TOKEN}
    push = ("adapter", "push", own, "--to", "me/narrow", "--model", MODEL)
    done = subprocess.run(
        [sys.executable, "-m", "narrows", *map(str, push)],
        env=clean,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "me/narrow was not written: " in done.stderr
    assert "--dry-run shows the card" in done.stderr
    assert TOKEN not in done.stderr + done.stdout
