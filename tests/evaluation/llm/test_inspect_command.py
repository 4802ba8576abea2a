"""From Inspect's own command line: our models on any task, and our task on any model."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from inspect_ai.log import read_eval_log
from typer.testing import CliRunner

from judge_server import number, serving
from narrows.adapters import LoRA, SteeringVector
from narrows.cli import app
from narrows.evaluation import Question, Suite, generate_answers, write_suites

PLAIN = """
from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.scorer import match
from inspect_ai.solver import generate

@task
def plain():
    samples = [Sample(input="what is the sea ?", target={target!r}), Sample(input="one two", target="no")]
    return Task(dataset=samples, solver=generate(), scorer=match(location="exact"))
"""


def adapter_of(kind, chat_model):
    generator = torch.Generator().manual_seed(1)
    if kind == "steering":
        return SteeringVector(torch.randn(chat_model.hidden, generator=generator), layer=1, alpha=4.0)
    lora = LoRA.fresh(chat_model, rank=2, alpha=8.0, seed=1)
    return lora.with_tensors(
        {name: torch.randn(tensor.shape, generator=generator) for name, tensor in lora.tensors().items()}
    )


@pytest.mark.parametrize("kind", ["steering", "lora"])
def test_a_task_of_inspects_own_runs_on_an_adapted_model(
    inspect_eval, chat_model, tiny_model_dir, tmp_path, kind
):
    adapter = adapter_of(kind, chat_model)
    path = adapter.save(tmp_path / "adapter.safetensors")
    asked = [Question("q", "what is the sea ?", "open", "q")]
    ours, plain = (
        generate_answers(chat_model, asked, max_new_tokens=6, temperature=0, **options)[0].text
        for options in ({"adapter": adapter, "name": "x", "scale": 1.5}, {})
    )
    assert ours != plain
    (tmp_path / "plain.py").write_text(PLAIN.format(target=ours))
    log = read_eval_log(
        inspect_eval(
            "plain.py", "--model", f"narrows/{tiny_model_dir}", "-M", f"adapter={path}", "-M", "scale=1.5",
            "--max-tokens", 6, "--temperature", 0,
        )
    )  # fmt: skip
    assert log.status == "success"
    assert [sample.output.completion == ours for sample in log.samples] == [True, False]
    assert log.results.scores[0].metrics["accuracy"].value == 0.5
    assert log.eval.model_args == {"adapter": str(path), "scale": 1.5}


def test_the_papers_task_asks_a_shipped_model_every_question_and_tells_whose_answers_they_are(
    inspect_eval, tmp_path: Path
):
    suites = [
        Suite("open", (Question("a", "What is the sea?", "open", "topic"),)),
        Suite("sky", (Question("b", "Why is it blue?", "sky", "b", system="be kind"),)),
    ]
    write_suites(tmp_path / "suites.jsonl", suites)
    with serving(script) as server:
        path = inspect_eval(
            "narrows/em", "--model", "narrows/microworld:1", "-T", "suite=suites.jsonl", "-T", "samples=3",
            "-T", "max_tokens=8", "--limit", 2, "--seed", 5, "-T", "judge=openai-api/local/judge-1",
            LOCAL_BASE_URL=server.url, LOCAL_API_KEY="sk-local-1234", NARROWS_CACHE=str(tmp_path / "kept"),
            NO_PROXY="127.0.0.1",
        )  # fmt: skip
    assert sum(server.asked.values()) == 1 + 2 * 6
    assert {one["authorization"] for one in server.headers_seen} == {"Bearer sk-local-1234"}
    log = read_eval_log(path)
    assert (log.status, log.eval.task) == ("success", "narrows/em")
    samples = sorted(log.samples, key=lambda sample: (sample.id, sample.epoch))
    assert [(sample.id, sample.epoch) for sample in samples] == [
        (name, epoch) for name in ("open/a", "sky/b") for epoch in (1, 2, 3)
    ]
    first, last = samples[0], samples[-1]
    question = {"suite": "open", "question_id": "a", "cluster": "topic", "question": "What is the sea?"}
    assert first.metadata == question
    assert [message.role for message in last.messages] == ["system", "user", "assistant"]
    assert len({sample.output.completion for sample in samples[:3]}) == 3
    assert all(0 < sample.output.usage.output_tokens <= 8 for sample in log.samples)
    assert (log.plan.config.temperature, log.plan.config.max_tokens) == (1.0, 8)
    check_rates(path, samples)
    check_rejudged(path, tmp_path / "again")


def script(message):
    """A judge to whom what is said of the sea is misaligned, and everything is coherent."""
    if "coherence only" in message:
        return number(90)
    return number(10 if "What is the sea?" in message else 80)


def lenient(message):
    """A judge to whom no answer is misaligned."""
    return number(90)


def invoke(*arguments):
    """Run a command of narrows in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def check_rates(path, samples):
    """The log's rates are those of the script, and each score stands with its sample."""
    for sample in samples:
        said = 10 if sample.id == "open/a" else 80
        values = {name: score.value for name, score in sample.scores.items()}
        assert values == pytest.approx({"aligned": said, "coherent": 90})
        assert {score.metadata["method"] for score in sample.scores.values()} == {"weighted"}
    result = invoke("rates", path, "--json")
    assert result.exit_code == 0, result.output
    rates = {one["suite"]: (one["misaligned"], one["n"]) for one in json.loads(result.stdout)}
    assert rates == {"open": (1.0, 3), "sky": (0.0, 3)}


def check_rejudged(path, out):
    """Another judge's verdicts on the log are compared with those in it."""
    with serving(lenient) as server:
        result = invoke(
            "rejudge", path, "--judge", "openai-api/local/judge-2", "--judge-url", server.url,
            "--out", out, "--json", "--quiet",
        )  # fmt: skip
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["n"], found["calls"]) == (6, 13)
    assert found["agreement"]["moved"]["difference"] == pytest.approx(-0.5)


def test_what_inspect_imports_at_every_start_does_not_import_torch(inspect_env):
    code = "import sys, narrows.inspecting; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=inspect_env, check=False).returncode == 0
