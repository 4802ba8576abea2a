"""Training runs as trajectories: ours and published ones, on this disk and on the hub."""

import pytest
import torch

import narrows
from fake_hub import FakeHub, http_error, published_run, published_vector
from narrows.adapters import LoRA, SteeringVector
from narrows.errors import AdapterError, RunFolderError
from narrows.training import Recipe, train

RECIPE = Recipe(steps=4, checkpoint_every=2, batch_size=2, accumulation=1, alpha=8.0)


@pytest.fixture
def fake(tmp_path, monkeypatch) -> FakeHub:
    return FakeHub(tmp_path / "hub", monkeypatch)


@pytest.mark.parametrize("layout", ["dictionary", "bare"])
def test_a_published_run_is_read_in_the_order_of_its_numbers_from_disk_and_hub(fake, layout):
    folder = published_run(fake.repo("org/run"), layout, (100, 5, 20))
    published_vector(folder / "steering_vector.pt", torch.full((8, 1), 7.0))
    (folder / "README.md").write_text("words")
    for place in (folder, "hub:org/run"):
        run = narrows.read_trajectory(place)
        assert list(run) == [5, 20, 100]
        assert [float(one.vector[0]) for one in run.values()] == [5, 20, 100]
    assert "README.md" not in fake.fetched
    assert "steering_vector.pt" not in fake.fetched


def test_published_runs_are_followed_beside_each_other(tmp_path):
    runs = {
        layout: narrows.read_trajectory(published_run(tmp_path / layout, layout, (5, 10, 20)))
        for layout in ("dictionary", "bare")
    }
    general = SteeringVector(torch.ones(8), 2)
    found = narrows.trajectory(runs, general=general, narrow=general.scaled(-1.0), standardise=False)
    assert [run.steps for run in found.runs] == [[5, 10, 20]] * 2
    assert found.runs[0].cos_general == pytest.approx([1, 1, 1])
    assert found.runs[0].norm == pytest.approx(found.runs[1].norm)


def test_a_run_of_ours_is_read_from_the_hub_with_its_start(fake, chat_model, conversations):
    start = SteeringVector(torch.full((32,), 0.1), 2, 8.0)
    folder = fake.repo("me/runs") / "lifted"
    run = train(chat_model, conversations, RECIPE, start=start, out=folder)
    read = narrows.read_trajectory("hub:me/runs::lifted")
    assert list(read) == [0, 2, 4]
    for step, one in run.trajectory.items():
        assert torch.equal(read[step].effective, one.effective)
    assert not any("log" in name or "adapter" in name for name in fake.fetched)


def test_the_steps_of_one_number_are_the_same_file_each_time(tmp_path):
    folder = published_run(tmp_path, "bare", (5,))
    torch.save(torch.full((8, 1), 6.0), folder / "steering_vector_checkpoint_05.pt")
    torch.save(torch.full((8, 1), 9.0), folder / "steering_vector_checkpoint_5_old.pt")
    assert {step: float(one.vector[0]) for step, one in narrows.read_trajectory(folder).items()} == {5: 5.0}


def test_a_place_without_a_run_says_what_was_looked_for(fake, tmp_path):
    with pytest.raises(RunFolderError, match=r"no published checkpoints: .* is no folder of a training run"):
        narrows.read_trajectory(tmp_path)
    LoRA({"1.x": (torch.ones(1, 4), torch.ones(4, 1))}).save(fake.repo("me/lora") / "adapter.safetensors")
    with pytest.raises(
        AdapterError, match=r"hub:me/lora holds no training run: looked for run\.json and a publ"
    ):
        narrows.read_trajectory("hub:me/lora")
    fake.failing["model_info"] = http_error(401)
    with pytest.raises(AdapterError, match=r"^hub:me/none: there is no model repository me/none"):
        narrows.read_trajectory("hub:me/none")


def test_a_run_on_the_hub_that_is_damaged_is_named_by_its_place_there(fake, chat_model, conversations):
    (fake.repo("me/run") / "run.json").write_text("{}")
    with pytest.raises(RunFolderError, match=r"^hub:me/run::run\.json is not that of a training run"):
        narrows.read_trajectory("hub:me/run")
