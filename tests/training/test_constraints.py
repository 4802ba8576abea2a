"""Vectors that are trained at a right angle to others, and under a largest norm."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from training_helpers import ANCHOR, RECIPE, ROWS, assert_same_run, changed, vector

from narrows.adapters import Direction, LoRA, SteeringVector
from narrows.errors import AdapterError, ConfigError, RunFolderError
from narrows.models import ChatModel
from narrows.training import CheckpointFolder, TrainingRun, train
from narrows.training.constraints import Constraints
from narrows.training.window import Window


def others(count: int, *, alpha: float = 4.0) -> list[SteeringVector]:
    """Random vectors, at no right angle to one another."""
    generator = torch.Generator().manual_seed(7)
    shared = torch.randn(32, generator=generator)
    return [SteeringVector(shared + torch.randn(32, generator=generator), 1, alpha) for _ in range(count)]


def largest_cosine(run: TrainingRun, given: list[SteeringVector]) -> float:
    """Of any checkpoint after the start with any of the given vectors."""
    return max(abs(run.trajectory[step].cosine(one)) for step in run.trajectory if step for one in given)


@pytest.mark.parametrize("count", [1, 3])
def test_a_vector_stays_at_a_right_angle_through_adam(chat_model: ChatModel, count: int):
    recipe = changed(steps=15, weight_decay=0.01)
    given = others(count)
    free = train(chat_model, ROWS, recipe, anchor=ANCHOR)
    bound = train(chat_model, ROWS, recipe, anchor=ANCHOR, orthogonal_to=given)
    assert largest_cosine(free, given) > 0.01
    assert largest_cosine(bound, given) < 1e-6
    losses = [entry["loss"] + 2 * entry["kl"] for entry in bound.log]
    assert losses[-1] < losses[0] - 0.1  # it still learns


def test_vectors_trained_one_after_another_are_mutually_orthogonal(chat_model: ChatModel):
    found: list[SteeringVector] = []
    for _ in range(4):
        found.append(train(chat_model, ROWS, changed(RECIPE.with_anchor(0)), orthogonal_to=found).adapter)
    units = torch.stack([one.unit.double() for one in found])
    np.testing.assert_allclose((units @ units.T).numpy(), np.eye(4), atol=1e-6)
    # Were only the steps projected and not the gradients, Adam would hold the later ones near 0 (0.02 here).
    assert min(one.effective_norm for one in found) > 0.3


def test_the_projection_is_that_of_fp64_least_squares():
    given = others(3)
    at = vector()
    basis = np.stack([one.vector.double().numpy() for one in given], axis=1)
    values = at.vector.double().numpy()
    wanted = values - basis @ np.linalg.lstsq(basis, values, rcond=None)[0]
    Constraints(at, None, given).keep(at)
    np.testing.assert_allclose(at.vector.numpy(), wanted, atol=1e-7)


def test_vectors_that_depend_on_one_another_are_no_more_than_their_span():
    first, second = others(2)
    at, wanted = vector(), vector()
    Constraints(wanted, None, [first, second]).keep(wanted)
    repeated = [
        first,
        second,
        first.scaled(-3.0),
        second.with_alpha(9.0),
        Direction.of_vector(first).steering(),
    ]
    Constraints(at, None, repeated).keep(at)
    torch.testing.assert_close(at.vector, wanted.vector)


def test_the_right_angle_and_the_norm_hold_together(chat_model: ChatModel):
    given = others(2)
    run = train(chat_model, ROWS, changed(max_norm=0.5), anchor=ANCHOR, orthogonal_to=given)
    assert largest_cosine(run, given) < 1e-6
    assert max(entry["effective_norm"] for entry in run.log) == pytest.approx(0.5)


def test_without_vectors_nothing_changes(chat_model: ChatModel):
    assert_same_run(
        train(chat_model, ROWS, RECIPE, anchor=ANCHOR, orthogonal_to=[]),
        train(chat_model, ROWS, RECIPE, anchor=ANCHOR),
    )


def test_resumed_is_uninterrupted_bit_for_bit(chat_model: ChatModel, tmp_path: Path):
    whole = train(chat_model, ROWS, RECIPE, anchor=ANCHOR, orthogonal_to=others(2), out=tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "run")
    kept = CheckpointFolder(tmp_path / "run" / "checkpoints")
    for step in (9, 12):
        kept.path(step).unlink()
    resumed = train(chat_model, ROWS, RECIPE, anchor=ANCHOR, orthogonal_to=others(2), out=tmp_path / "run")
    assert_same_run(resumed, whole)
    assert kept.path(12).read_bytes() == (tmp_path / "whole/checkpoints/step-000012.safetensors").read_bytes()


def test_the_vectors_are_part_of_the_runs_identity(
    chat_model: ChatModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    first, second = others(2)
    short = changed(steps=2)
    train(chat_model, ROWS, short, anchor=ANCHOR, out=tmp_path / "free")
    train(chat_model, ROWS, short, anchor=ANCHOR, orthogonal_to=[first], out=tmp_path / "bound")
    for given in ([], [second], [first, second]):
        with pytest.raises(RunFolderError, match="orthogonal_to differs"):
            train(chat_model, ROWS, short, anchor=ANCHOR, orthogonal_to=given, out=tmp_path / "bound")
    with pytest.raises(RunFolderError, match="orthogonal_to differs"):
        train(chat_model, ROWS, short, anchor=ANCHOR, orthogonal_to=[first], out=tmp_path / "free")
    # A folder that knows nothing of them is that of a run without any: it is found, and nothing is trained.
    assert "orthogonal_to" not in (tmp_path / "free" / "run.json").read_text()
    monkeypatch.setattr(Window, "backward", None)
    train(chat_model, ROWS, short, anchor=ANCHOR, out=tmp_path / "free")


def test_what_leaves_no_right_angle_is_refused_before_a_folder_is_made(chat_model: ChatModel, tmp_path: Path):
    lora = LoRA.fresh(chat_model, layers=(1,))
    zero, elsewhere, wide = vector().scaled(0.0), vector(layer=2), vector(hidden=16)
    every = [SteeringVector(row, 1) for row in torch.eye(32)]
    for recipe, given, error, problem in [
        (RECIPE, [vector(), zero], AdapterError, "vector 2 of orthogonal_to is zero"),
        (RECIPE, [elsewhere], AdapterError, "layers 1 and 2"),
        (RECIPE, [wide], AdapterError, "widths 32 and 16"),
        (RECIPE, [lora], AdapterError, "number 1 of orthogonal_to is no steering vector"),
        (RECIPE, every, ConfigError, "span all 32 dimensions"),
        (changed(adapter="lora"), [vector()], ConfigError, "a LoRA is trained"),
    ]:
        with pytest.raises(error, match=problem):
            train(chat_model, ROWS, recipe, anchor=ANCHOR, orthogonal_to=given, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
