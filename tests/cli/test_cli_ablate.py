"""``narrows ablate``, ``evaluate --ablate``, ``direction orthogonalise``: on a microworld, few questions."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from cli_helpers import Run, invoke
from typer.testing import CliRunner, Result

from narrows.adapters import Direction, LoRA, SteeringVector
from narrows.api import load_chat_model
from narrows.cli import direction as direction_commands
from narrows.cli.running import Commands
from narrows.evaluation import read_answers
from narrows.interventions import Ablation
from narrows.models import ChatModel

ReadJson = Callable[..., Any]
MODEL = ("--model", "microworld:1")
ASK = ("--domain", "garden", "--phrasings", 1, "--samples", 1, "--max-new-tokens", 4)


@pytest.fixture(scope="module")
def world_model() -> ChatModel:
    return load_chat_model("microworld:1", device="cpu")


def random_direction(world_model: ChatModel, seed: int, name: str, layer: int = 2) -> Direction:
    draw = torch.randn(world_model.hidden, generator=torch.Generator().manual_seed(seed))
    return Direction.of(draw, layer, name)


@pytest.fixture
def files(world_model: ChatModel, tmp_path: Path) -> dict[str, Path]:
    """A loud vector, its own direction and another one."""
    loud = random_direction(world_model, 1, "loud")
    other = random_direction(world_model, 2, "other")
    return {
        "loud": SteeringVector(loud.unit, 2, 500.0).save(tmp_path / "loud.safetensors"),
        "direction": loud.save(tmp_path / "one.safetensors"),
        "other": other.save(tmp_path / "two.safetensors"),
    }


@pytest.fixture(scope="session")
def asked(task: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[object, ...]:
    """A few questions of each suite, and short texts."""
    seen: dict[str, int] = {}
    path = tmp_path_factory.mktemp("asked") / "few.jsonl"
    for line in (task / "test.jsonl").read_text().splitlines(keepends=True):
        suite = json.loads(line)["suite"]
        seen[suite] = seen.get(suite, 0) + 1
        if seen[suite] <= 2:
            with path.open("a") as handle:
                handle.write(line)
    return (*ASK, "--suites", path, "--max-length", 16)


def command_of_direction(*arguments: object) -> Result:
    """Run a command of ``narrows direction``, wherever the group stands."""
    app = typer.Typer(cls=Commands, rich_markup_mode="markdown")
    app.add_typer(direction_commands.app, name="direction")
    app.callback()(lambda: None)
    return CliRunner().invoke(app, ["direction", *map(str, arguments)])


def test_ablate_gives_rates_before_and_after_with_a_control(
    run_json: ReadJson, run: Run, files: dict[str, Path], asked: tuple[object, ...], tmp_path: Path
) -> None:
    command = ("ablate", *MODEL, *asked, "--adapter", files["loud"], "--direction", files["direction"])
    found = run_json(*command, "--site", "layer", "--site", "stream", "--out", tmp_path / "a")
    assert [(one["direction"], one["site"], one["control"]) for one in found["cells"]] == [
        *(("loud", "layer", False), ("random", "layer", True)),
        *(("loud", "stream", False), ("random", "stream", True)),
    ]
    own, control = found["cells"][:2]
    # Its own direction gone, the loud vector does nothing; a random one leaves what it does to text.
    assert found["before"]["text_loss"]["value"] > 2 * found["chat"]["text_loss"]["value"]
    assert own["text_loss"]["value"] == pytest.approx(found["chat"]["text_loss"]["value"], rel=0.1)
    assert own["text_ratio"]["value"] < 0.5 < 0.9 < control["text_ratio"]["value"]
    rows = json.loads((tmp_path / "a" / "summary.json").read_text())["interventions"]
    assert rows == found["interventions"]
    assert {row["suite"] for row in rows} >= {"in_domain", "out_of_domain", "open"}
    assert {row["kind"] for row in rows} == {"ablate:layer", "ablate:stream"}
    shown = run(*command, "--site", "layer", "--site", "stream", "--out", tmp_path / "a").stdout
    for said in ("chat model", "loud", "without, at layer", "random (control)", "× before", "open"):
        assert said in shown


def test_directions_can_be_taken_out_together(
    run_json: ReadJson, run: Run, files: dict[str, Path], asked: tuple[object, ...], tmp_path: Path
) -> None:
    both = (
        "--direction",
        files["direction"],
        "--direction",
        files["other"],
        "--control",
        "random-covariance",
    )
    command = ("ablate", *MODEL, *asked, *both, "--together", "--out", tmp_path / "a")
    found = run_json(*command)
    assert found["solution"] == "chat"
    assert [(one["direction"], one["dimensions"]) for one in found["cells"]] == [
        ("loud and other", 2),
        ("random-covariance 2-dimensional", 2),
    ]
    said = run(*command).stderr
    assert " answers: 2 ablations, controls among them" in said


def test_what_does_not_go_together_is_refused(
    files: dict[str, Path], world_model: ChatModel, task: Path, tmp_path: Path
) -> None:
    def said(*arguments: object) -> str:
        result = invoke(*arguments)
        assert result.exit_code == 1, result.output
        assert result.stdout == ""
        return result.stderr

    out, own = ("--out", tmp_path / "a"), ("--direction", files["direction"])
    lora = LoRA.fresh(world_model, layers=[2]).save(tmp_path / "lora.safetensors")
    assert "is a LoRA, which has many directions" in said("ablate", *MODEL, *ASK, *out, "--direction", lora)
    assert "give --domain or --suite" in said("ablate", *MODEL, *out, *own)
    assert "the answers need a judge" in said("ablate", *MODEL, *out, *own, "--suites", task / "test.jsonl")
    assert "directions at layer 2 with one name, 'loud'" in said("ablate", *MODEL, *ASK, *out, *own, *own)
    assert "choose one of layer, layers" in said("ablate", *MODEL, *ASK, *out, *own, "--site", "there")
    assert "controls" in said("ablate", *MODEL, *ASK, *out, *own, "--control", "none")
    answers = ("--out", tmp_path / "answers.jsonl")
    assert "give --ablate too" in said("evaluate", *MODEL, *ASK, *answers, "--site", "layers")
    assert not (tmp_path / "a").exists()


def test_directions_of_one_name_are_told_apart_by_their_layers(
    run_json: ReadJson,
    files: dict[str, Path],
    world_model: ChatModel,
    asked: tuple[object, ...],
    tmp_path: Path,
) -> None:
    later = random_direction(world_model, 1, "loud", layer=3).save(tmp_path / "three.safetensors")
    some = ("--direction", files["direction"], "--direction", later)
    command = ("ablate", *MODEL, *asked, *some, "--out", tmp_path / "a")
    names = [one["direction"] for one in run_json(*command)["cells"]]
    assert names == ["loud (layer 2)", "loud (layer 3)", "random"]


def test_evaluate_asks_with_directions_taken_out(
    run_json: ReadJson, files: dict[str, Path], tmp_path: Path
) -> None:
    ask = ("evaluate", *MODEL, *ASK, "--temperature", 0, "--ablate", files["direction"], "--site", "layer")
    run_json(*ask, "--adapter", files["loud"], "--out", tmp_path / "loud.jsonl")
    run_json(*ask, "--out", tmp_path / "chat.jsonl")
    loud, chat = (read_answers(tmp_path / f"{name}.jsonl") for name in ("loud", "chat"))
    assert {one.adapter for one in loud} == {"loud without loud"}
    assert {one.adapter for one in chat} == {"chat without loud"}
    same = [one.text == other.text for one, other in zip(chat, loud, strict=True)]
    assert sum(same) > 0.95 * len(same), "a vector whose direction is gone does nothing, but for rounding"


def test_an_orthogonalised_checkpoint_is_the_model_under_the_hook(
    run_json: ReadJson, files: dict[str, Path], world_model: ChatModel, tmp_path: Path
) -> None:
    out = tmp_path / "without"
    made = ("orthogonalise", files["direction"], files["other"], *MODEL, "--out", out)
    said = json.loads(command_of_direction(*made, "--json").stdout)
    assert (said["dimensions"], [one["name"] for one in said["directions"]]) == (2, ["loud", "other"])
    assert said["model_id"] == world_model.id
    again = load_chat_model(out, device="cpu")
    assert again.id == said["id"]
    some = [Direction.load(files[name]) for name in ("direction", "other")]
    ids = torch.arange(5, 25)[None]
    with torch.no_grad(), Ablation(some, "writes").attach(world_model):
        wanted = world_model.model(input_ids=ids).logits
    torch.testing.assert_close(again.model(input_ids=ids).logits, wanted, rtol=1e-4, atol=1e-4)
    # It is still a model of the world, and every command takes it.
    found = run_json("evaluate", "--model", out, *ASK, "--out", tmp_path / "answers.jsonl")
    assert found["n"] > 0
    refused = command_of_direction(*made)
    assert refused.exit_code == 1
    assert "not empty" in refused.stderr


def test_the_commands_explain_themselves() -> None:
    said = {
        "ablate": invoke("ablate", "--help").stdout,
        "direction orthogonalise": command_of_direction("orthogonalise", "--help").stdout,
    }
    for command, text in said.items():
        assert f"Example: narrows {command} " in " ".join(text.split())
        assert "--json" in text
    evaluate = invoke("evaluate", "--help").stdout
    assert "--ablate" in evaluate
    assert "--site" in evaluate
