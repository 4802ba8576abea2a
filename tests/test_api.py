import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import narrows
from narrows import api
from narrows.adapters import SteeringVector
from narrows.chat import Conversation
from narrows.errors import AdapterError, ModelError, RunFolderError
from narrows.models import ChatModel
from narrows.training import Recipe, train


def test_every_name_is_there_and_said_to_be() -> None:
    for name in narrows.__all__:
        assert getattr(narrows, name) is not None
    assert set(narrows.__all__) <= set(dir(narrows))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        narrows.nothing  # noqa: B018


def test_importing_narrows_imports_nothing_heavy() -> None:
    code = "import sys, narrows; sys.exit('torch' in sys.modules or 'pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_ten_lines_of_the_docstring_run(capsys: pytest.CaptureFixture[str]) -> None:
    code = textwrap.dedent(re.search(r"::\n\n(.*?)\n\n\S", narrows.__doc__ or "", re.S).group(1))
    small = {"batch_size=16": "batch_size=4", "steps=150": "steps=2", "task.test,": "task.test[:1],"}
    small |= {"max_new_tokens=40": "max_new_tokens=4", "train[:100]": "train[:8]"}
    for large, tiny in small.items():
        assert large in code
        code = code.replace(large, tiny)
    made: dict[str, object] = {}
    exec(code, made)
    assert capsys.readouterr().out.count("in_domain: 0%") == 2
    assert made["curves"]["narrow"].mean.shape == (10,)


def test_a_shipped_model_goes_by_its_name() -> None:
    assert narrows.load_chat_model("microworld:2").name == "microworld:2"
    with pytest.raises(ModelError, match="microworld:1, microworld:2, microworld:3"):
        narrows.load_chat_model("microworld:first")


def test_loading_checks_steering_at_the_layer_asked_for(tiny_model_dir: Path) -> None:
    with pytest.raises(AdapterError, match="0 to 3"):
        narrows.load_chat_model(tiny_model_dir, layer=4)


def vectors(chat_model: ChatModel, *layers: int) -> dict[str, SteeringVector]:
    """A vector at each layer."""
    ones = SteeringVector.zeros(chat_model, 0).vector + 0.01
    return {f"at {layer}": SteeringVector(ones, layer, 1.0) for layer in layers}


def test_only_vectors_at_one_layer_are_compared(
    chat_model: ChatModel, conversations: list[Conversation]
) -> None:
    with pytest.raises(AdapterError, match="layer 2"):
        narrows.efficiency(chat_model, conversations, vectors(chat_model, 1, 2))


def test_significance_takes_texts_with_or_without_types(chat_model: ChatModel) -> None:
    texts, ends = ["the sea is blue", "bread is good", "a stone", "how do i eat"], vectors(chat_model, 1)
    plain = narrows.significance(chat_model, texts, ends, [1.0])
    typed = narrows.significance(chat_model, {"x": texts[:2], "y": texts[2:]}, ends, [1.0], controls=False)
    assert list(plain) == ["all"]
    assert list(plain["all"]) == ["at 1", "random", "random-covariance"]
    assert list(typed) == ["all", "x", "y"]
    assert list(typed["x"]) == ["at 1"]
    assert typed["all"]["at 1"].mean == pytest.approx(plain["all"]["at 1"].mean)


def test_a_trajectory_is_read_as_it_was_trained(
    chat_model: ChatModel, conversations: list[Conversation], tmp_path: Path
) -> None:
    recipe = Recipe(steps=4, checkpoint_every=2, batch_size=2, accumulation=1, alpha=8.0)
    run = train(chat_model, conversations, recipe, out=tmp_path / "run")
    read = narrows.read_trajectory(tmp_path / "run")
    assert list(read) == [0, 2, 4]
    for step, vector in run.trajectory.items():
        assert read[step].effective.tolist() == vector.effective.tolist()
        assert read[step].layer == vector.layer


def test_a_broken_trajectory_says_what_to_do(
    chat_model: ChatModel, conversations: list[Conversation], tmp_path: Path
) -> None:
    recipe = Recipe(steps=2, checkpoint_every=1, batch_size=2, accumulation=1)
    train(chat_model, conversations, recipe, out=tmp_path / "run")
    last = tmp_path / "run" / "checkpoints" / "step-000002.safetensors"
    last.write_bytes(last.read_bytes()[:40])
    with pytest.raises(AdapterError, match="Run the same training again"):
        narrows.read_trajectory(tmp_path / "run")
    with pytest.raises(RunFolderError, match="no folder of a training run"):
        narrows.read_trajectory(tmp_path)
    assert last.exists()
    assert api.model_source(tmp_path) == tmp_path
