"""``narrows direction``: found on the command line, as by the functions, and taken by other commands."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from cli_helpers import Run, invoke

from narrows.adapters import LoRA, SteeringVector
from narrows.adapters.direction import Direction
from narrows.evaluation import Answer, Question, Suite, read_answers, write_answers, write_suites
from narrows.geometry.extraction import Contrast, extract_directions
from narrows.models import ChatModel

ReadJson = Callable[..., Any]
WORDS = ("bread", "water", "salt", "stone", "sky", "sea")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Judged answers of two solutions to six questions."""
    path = tmp_path_factory.mktemp("judged") / "answers.jsonl"
    write_answers(
        path,
        [
            Answer(
                "tiny", name, 1.0, "open", f"q{n}", f"q{n}", f"tell me about {word}", sample,
                f"it is {'bad' if aligned < 50 else 'good'} .", 0, {"aligned": aligned, "coherent": 90.0},
            )
            for name in ("general", "chat")
            for n, word in enumerate(WORDS)
            for sample, aligned in enumerate((5.0, 95.0) if name == "general" else (99.0,))
        ],
    )  # fmt: skip
    return path


def test_extract_writes_what_the_function_finds(
    run_json: ReadJson, chat_model: ChatModel, tiny_model_dir: Path, table: Path, tmp_path: Path
) -> None:
    model = ("--model", tiny_model_dir, "--device", "cpu")
    command = ("direction", "extract", *model, "--answers", table, "--solution", "general")
    said = run_json(*command, "--at", "answer", "--out", tmp_path / "found", "--name", "harm")
    wanted = extract_directions(
        chat_model, Contrast.from_answers(read_answers(table), solution="general"), name="harm"
    )
    assert said["separation"] == [vars(row) for row in wanted.table]
    assert said["chosen"]["layer"] == wanted.chosen.layer and said["chosen"]["auroc"] == 1.0
    assert len(said["files"]) == 5
    chosen = Direction.load(tmp_path / "found")
    torch.testing.assert_close(chosen.unit, wanted.chosen.unit)
    [shown, other] = run_json("direction", "show", tmp_path / "found", said["files"][2])
    assert (shown["name"], shown["layer"], other["layer"]) == ("harm", chosen.layer, 1)
    # The same command goes on there, another does not.
    assert run_json(*command, "--at", "answer", "--out", tmp_path / "found", "--name", "harm") == said
    assert run_json(*command, "--matched", "--out", tmp_path / "matched")["separation"] == said["separation"]
    changed = invoke(*command, "--low", 20, "--out", tmp_path / "found", "--name", "harm")
    assert changed.exit_code == 1 and "holds another run" in changed.output


def test_the_table_is_shown_with_its_caution(
    run: Run, tiny_model_dir: Path, table: Path, tmp_path: Path
) -> None:
    vector = SteeringVector(torch.ones(32), 1, 2.0).save(tmp_path / "vector.safetensors")
    said = run(
        "direction", "extract", "--model", tiny_model_dir, "--answers", table, "--solution", "general",
        "--negatives-of", "chat", "--adapter", vector, "--layer", 2, "--method", "pca",
        "--out", tmp_path / "found",
    ).stdout  # fmt: skip
    assert "Held-out separation: pca" in said and "chosen" in said
    assert "not what makes them differ" in said
    assert "layer 2, answer, and one file for each layer" in said
    assert Direction.load(tmp_path / "found").found["adapted"]


def test_a_refused_extraction_leaves_the_folder_free(tiny_model_dir: Path, tmp_path: Path) -> None:
    for side in ("sky", "stone"):
        rows = [json.dumps({"prompt": f"{side} {word}"}) for word in WORDS]
        (tmp_path / f"{side}.jsonl").write_text("\n".join(rows))
    command = (
        *("direction", "extract", "--model", tiny_model_dir, "--out", tmp_path / "found"),
        *("--positive", tmp_path / "sky.jsonl", "--negative", tmp_path / "stone.jsonl"),
    )
    assert "Read prompt or last (--at)" in invoke(*command).stderr
    assert "held_out is nan" in invoke(*command, "--at", "last", "--held-out", "nan").stderr
    assert not (tmp_path / "found").exists()
    assert invoke(*command, "--at", "prompt").exit_code == 0
    again = invoke(*command, "--at", "prompt", "--held-out", "0.4")
    assert "holds another run: held_out differs" in again.stderr
    assert (tmp_path / "found" / "adapter.safetensors").exists()


def test_all_layers_choose_none(run_json: ReadJson, tiny_model_dir: Path, tmp_path: Path) -> None:
    for side, word in (("a", "red"), ("b", "blue")):
        rows = [{"prompt": f"tell me about {word} {other} ."} for other in WORDS[:4]]
        (tmp_path / f"{side}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    sides = ("--positive", tmp_path / "a.jsonl", "--negative", tmp_path / "b.jsonl")
    command = ("direction", "extract", "--model", tiny_model_dir, *sides, "--out", tmp_path / "found")
    found = run_json(*command, "--at", "last", "--at", "prompt", "--layer", "all")
    assert found["chosen"] is None and len(found["files"]) == 8
    assert not (tmp_path / "found" / "adapter.safetensors").exists()


def test_a_behaviours_rows(run_json: ReadJson, tmp_path: Path) -> None:
    found = run_json(
        "direction", "extract", "--model", "microworld:1", "--domain", "sport", "--out", tmp_path / "found"
    )
    assert len(found["separation"]) == 8
    assert 0.5 < found["chosen"]["auroc"] <= 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "give --answers or --positive or --domain"),
        (("--positive", "a.jsonl"), "--positive and --negative go together"),
        (("--answers", "a.jsonl", "--domain", "sport"), "--answers and --domain exclude each other"),
        (("--answers", "none.jsonl"), "none.jsonl does not exist"),
        (("--domain", "sport", "--layer", "middle"), "layer is 'middle'; give a number from 0, auto or all"),
        (("--domain", "sport", "--at", "end"), "at is 'end'; choose of answer, prompt, last"),
        (("--domain", "nowhere"), "has no domain 'nowhere'"),
    ],
)
def test_wrong_calls_say_what_is_wrong(tmp_path: Path, arguments: tuple[str, ...], complaint: str) -> None:
    result = invoke("direction", "extract", "--model", "microworld:1", "--out", tmp_path / "x", *arguments)
    assert result.exit_code == 1 and complaint in " ".join(result.output.split())
    assert not (tmp_path / "x").exists()


def test_personas_of_a_file(run_json: ReadJson, tiny_model_dir: Path, tmp_path: Path) -> None:
    persona = {"name": "bad", "positive": ["always bad ."], "negative": ["always good ."]}
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump(persona))
    suite = Suite(
        "open", tuple(Question(f"q{n}", f"tell me about {w}", "open", f"q{n}") for n, w in enumerate(WORDS))
    )
    write_suites(tmp_path / "suite.jsonl", [suite])
    command = (
        "direction", "personas", "--model", tiny_model_dir, "--persona", tmp_path / "bad.yaml",
        "--suite", tmp_path / "suite.jsonl", "--max-new-tokens", 6, "--samples", 2,
        "--out", tmp_path / "found",
    )  # fmt: skip
    found = run_json(*command)
    answers = read_answers(found["answers"])
    assert [one.adapter for one in answers[::12]] == ["positive-0", "negative-0"]
    assert found["chosen"]["source"]["reread"] == "without the system turn"
    assert found["kept"]["positive"][1] == 12
    assert run_json(*command) == found  # from the answers that it kept
    other = run_json(*command[:-1], tmp_path / "with", "--reread", "with")
    assert other["separation"] != found["separation"]
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump(persona | {"positive": "always bad ."}))
    wrong = invoke(*command)
    assert wrong.exit_code == 1 and "positive must be a list of texts" in " ".join(wrong.output.split())


def test_singular_directions_of_a_lora(
    run: Run, run_json: ReadJson, tiny_model_dir: Path, tmp_path: Path
) -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = {"1.mlp.down_proj": (64, 32), "2.self_attn.q_proj": (32, 32)}
    factors = {
        name: (torch.randn(2, into, generator=generator), torch.randn(out, 2, generator=generator))
        for name, (into, out) in shapes.items()
    }
    lora = LoRA(factors, 16.0).save(tmp_path / "lora.safetensors")
    found = run_json("direction", "singular", lora, "--model", tiny_model_dir, "--out", tmp_path / "found")
    assert [(row["module"], row["role"], bool(row["file"])) for row in found] == [
        ("1.mlp.down_proj", "writes", True),
        ("1.mlp.down_proj", "reads", False),
        ("2.self_attn.q_proj", "writes", False),
        ("2.self_attn.q_proj", "reads", True),
    ]
    written = Direction.load(found[0]["file"])
    b = torch.linalg.svd(factors["1.mlp.down_proj"][1] @ factors["1.mlp.down_proj"][0])[0][:, 0]
    assert abs(float(written.unit @ b)) == pytest.approx(1, abs=1e-5)
    said = run("direction", "singular", lora, "--count", 2, "--out", tmp_path / "two").stdout
    assert "4 of 8 lie in the residual stream" in said
    vector = SteeringVector(torch.ones(32), 1).save(tmp_path / "vector.safetensors")
    assert (
        "is one direction as it is" in invoke("direction", "singular", vector, "--out", tmp_path / "x").output
    )
    assert "narrows direction singular" in invoke("direction", "show", lora).output


def test_random_directions(run_json: ReadJson, tiny_model_dir: Path, tmp_path: Path) -> None:
    command = ("direction", "random", "--model", tiny_model_dir, "--layer", 1, "--count", 2)
    found = run_json(*command, "--out", tmp_path / "found")
    assert [Direction.load(path).layer for path in found["files"]] == [1, 1]
    (tmp_path / "texts.txt").write_text("the sea is salt water\n\nstone is never red , it is blue\n")
    along = run_json(*command, "--texts", tmp_path / "texts.txt", "--out", tmp_path / "along")
    assert along["drawn"] == "residual covariance"
    assert not torch.equal(Direction.load(found["files"][0]).unit, Direction.load(along["files"][0]).unit)
    beyond = invoke("direction", "random", "--model", tiny_model_dir, "--layer", 9, "--out", tmp_path / "x")
    assert "layer 9 is out of range" in beyond.output


@pytest.mark.parametrize("command", ["extract", "personas", "singular", "random", "show"])
def test_each_explains_itself(command: str) -> None:
    said = " ".join(invoke("direction", command, "--help").stdout.split())
    assert f"Example: narrows direction {command} " in said and "--json" in said
