"""``narrows sweep`` on a microworld, with few questions."""

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from cli_helpers import TINY_RECIPE, Run, invoke

from judge_server import number, serving
from narrows.adapters import LoRA, SteeringVector
from narrows.api import load_chat_model
from narrows.models import ChatModel

ReadJson = Callable[..., Any]
MODEL = ("--model", "microworld:1")
ASK = ("--domain", "garden", "--phrasings", 1, "--samples", 1, "--max-new-tokens", 4, "--max-length", 16)


@pytest.fixture(scope="module")
def world_model() -> ChatModel:
    return load_chat_model("microworld:1", device="cpu")


@pytest.fixture
def adapter(world_model: ChatModel, tmp_path: Path) -> Path:
    """A random vector at layer 2, long enough to be felt."""
    draw = torch.randn(world_model.hidden, generator=torch.Generator().manual_seed(1))
    return SteeringVector(draw, 2, 256.0).scaled_to(30.0).save(tmp_path / "loud.safetensors")


def test_a_vector_at_two_layers_costs_what_significance_says(
    run_json: ReadJson, adapter: Path, task: Path, tmp_path: Path
) -> None:
    out = tmp_path / "sweep"
    scales = ("--scale", 0, "--scale", 1)
    command = ("sweep", *MODEL, *ASK, "--adapter", adapter, *scales, "--layer", 2, "--layer", 3, "--out", out)
    found = run_json(*command)
    assert [(cell["layer"], cell["scale"]) for cell in found["cells"]] == [(2, 0), (2, 1), (3, 0), (3, 1)]
    off, on, _, above = found["cells"]
    assert (off["rates"], off["coherent"]) == (found["chat"]["rates"], found["chat"]["coherent"])
    assert off["kl"]["value"] == pytest.approx(0, abs=1e-9)
    assert on["effective_norm"] == pytest.approx(30)
    assert above["effective_norm"] != pytest.approx(30)
    assert above["residual_share"] == pytest.approx(on["residual_share"])
    texts = ("--texts", task / "texts.jsonl", "--max-length", 16, "--shortest", 0)
    ends = ("--general", adapter, "--narrow", adapter, "--norm", 0, "--norm", 30)
    rows = run_json("significance", *MODEL, *ends, *texts)
    [wanted] = [row for row in rows if (row["direction"], row["text"], row["norm"]) == ("general", "all", 30)]
    assert on["kl"]["value"] == pytest.approx(wanted["kl"], rel=1e-4)
    assert on["kl"]["ci95"] == pytest.approx(wanted["kl_ci95"], rel=1e-3)
    assert json.loads((out / "sweep.json").read_text())["cells"] == found["cells"]


def test_training_at_two_layers_shows_tables_a_recommendation_and_a_figure(
    run: Run, task: Path, tmp_path: Path
) -> None:
    config = tmp_path / "recipe.yaml"
    config.write_text(yaml.safe_dump(TINY_RECIPE | {"anchor": {"rows_per_row": 1.0}}))
    rows = ("--train", task / "train.jsonl", "--anchor", task / "anchor.jsonl", "--kl-weight", 2)
    command = ("sweep", *MODEL, *ASK, *rows, "--config", config, "--layer", 1, "--layer", 3, "--scale", 1)
    result = run(*command, "--out", tmp_path / "sweep")
    assert (
        "2 trainings; 180 answers: 2 adapters x 1 scales and the chat model, 60 questions x 1"
        in result.stderr
    )
    assert "trained, layer 1" in result.stdout
    assert "No recommendation: of 2 cells none shows the behaviour on in_domain" in result.stdout
    assert "Ordinary text, nats per token; the chat model's loss is" in result.stdout
    recipe = json.loads((tmp_path / "sweep" / "layer-3" / "run.json").read_text())["recipe"]
    assert (recipe["layer"], recipe["anchor"]["weight"]) == (3, 2.0)
    text = "".join(ET.fromstring((tmp_path / "sweep" / "sweep.svg").read_text()).itertext())
    assert "KL on text, nats a token" in text
    assert "No recommendation" in text


def test_questions_of_ones_own_are_asked_instead(
    run_json: ReadJson, adapter: Path, task: Path, tmp_path: Path
) -> None:
    lines = (task / "test.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "open.jsonl").write_text(
        "".join(line for line in lines if json.loads(line)["suite"] == "open")
    )
    command = ("sweep", *MODEL, *ASK, "--suites", tmp_path / "open.jsonl", "--adapter", adapter, "--scale", 1)
    found = run_json(*command, "--out", tmp_path / "sweep")
    assert found["suite"] == "open"
    assert found["chat"]["rates"].keys() == {"open"}


def test_a_language_model_judges_and_is_asked_once(
    run_json: ReadJson, adapter: Path, tmp_path: Path, task: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NARROWS_CACHE", str(tmp_path / "cache"))
    texts = ("--texts", task / "texts.jsonl", "--max-length", 16, "--shortest", 0)
    asked = ("--in-domain", "open", "--samples", 1, "--max-new-tokens", 4)
    with serving(lambda message: number(90 if "coherence only" in message else 10)) as server:
        judge = ("--judge", "openai-api/local/judge-1", "--judge-url", server.url)
        command = ("sweep", *MODEL, *asked, *texts, *judge, "--adapter", adapter, "--scale", 1)
        stopped = invoke(*command, "--out", tmp_path / "a", "--max-judge-calls", 3)
        assert stopped.exit_code == 1
        assert "--max-judge-calls allows 3" in stopped.output
        assert "at most 33 judge calls" in stopped.output
        assert not server.asked
        found = run_json(*command, "--out", tmp_path / "a", "--max-judge-calls", 33)
        calls = sum(server.asked.values())
        assert 3 <= calls <= 33
        run_json(*command, "--out", tmp_path / "b")
        assert sum(server.asked.values()) == calls
    assert found["judge"] == "openai-api/local/judge-1"
    assert [cell["rates"]["in_domain"]["value"] for cell in (found["chat"], *found["cells"])] == [1.0, 1.0]


def test_what_does_not_go_together_is_refused(
    adapter: Path, task: Path, world_model: ChatModel, tmp_path: Path
) -> None:
    def said(*arguments: object) -> str:
        result = invoke("sweep", *MODEL, "--out", tmp_path / "sweep", *arguments)
        assert result.exit_code == 1, result.output
        assert result.stdout == ""
        return result.stderr

    rows = ("--train", task / "train.jsonl")
    lora = LoRA.fresh(world_model, layers=[2]).save(tmp_path / "lora.safetensors")
    assert "give --adapter or --train" in said(*ASK)
    assert "--adapter and --train exclude each other" in said(*ASK, *rows, "--adapter", adapter)
    assert "--kl-weight is about training" in said(*ASK, "--adapter", adapter, "--kl-weight", 1)
    assert "--train needs at least one --layer" in said(*ASK, *rows)
    assert "lora is a LoRA, whose modules belong to its layer" in said(*ASK, "--adapter", lora, "--layer", 1)
    assert "give --domain or --suite" in said("--adapter", adapter)
    assert "the answers need a judge" in said("--adapter", adapter, "--suites", task / "test.jsonl")
    assert not (tmp_path / "sweep").exists()
