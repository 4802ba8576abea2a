"""The models of a family: their order, their folders, and what may lie there."""

from pathlib import Path

import pytest

from narrows.errors import ConfigError, RunFolderError
from narrows.microworld.family import Family, load_family
from narrows.microworld.pretrain import TRAINING_FILE, snapshot_folder
from narrows.study.store import Store
from narrows.study.worlds.models import models_of, pretrain_models
from narrows.study.worlds.running import FamilyRun

FAMILY = Family.model_validate(
    {
        "name": "f",
        "targets": ["pets"],
        "seeds": [5, 6],
        "base": {
            "architecture": {"layers": 2, "hidden": 32, "heads": 2, "intermediate": 64},
            "pretraining": {"steps": 2, "rows": 2, "row_tokens": 64, "warmup": 1},
        },
        "worlds": [
            {"name": "a", "snapshots": [1]},
            {"name": "b", "seeds": [7], "changes": {"documents": {"described": 0.0}}},
        ],
    }
)


class Here:
    """A worker that does nothing, but says what it was given."""

    count = 1

    def __init__(self) -> None:
        self.given: list[str] = []

    def submit(self, task):
        from concurrent.futures import Future

        self.given.append(task.title)
        future: Future[bool] = Future()
        future.set_exception(RuntimeError("not today"))
        return future

    def close(self) -> None:
        pass


def test_each_seed_of_every_world_in_turn(tmp_path: Path):
    assert [one.name for one in models_of(FAMILY, tmp_path)] == ["a-5", "b-7", "a-6"]
    assert [one.name for one in models_of(FAMILY, tmp_path, ["a"])] == ["a-5", "a-6"]
    assert [one.snapshots for one in models_of(FAMILY, tmp_path)] == [(1,), (), ()]
    with pytest.raises(ConfigError, match="f has no world 'c'; there are a, b"):
        models_of(FAMILY, tmp_path, ["c"])


def test_what_fails_is_named_and_what_is_there_is_not_done_again(tmp_path: Path):
    from narrows.microworld import pretrain

    models = models_of(FAMILY, tmp_path)
    first = models[0]
    pretrain(first.config, first.folder, seed=5, device="cpu", workers=0, snapshots=(1,))
    assert (first.folder / TRAINING_FILE).is_file()
    assert first.checkpoints == {
        "a-5-step-1": (1, snapshot_folder(first.folder, 1)),
        "a-5": (None, first.folder),
    }
    team = Here()
    outcome = pretrain_models(models, Store(tmp_path / "store"), lambda store: team)
    assert team.given == ["pre-training b-7", "pre-training a-6"]
    assert [one.error for one in outcome.failures] == ["RuntimeError: not today"] * 2
    first.folder.rename(tmp_path / "b-7")
    with pytest.raises(RunFolderError, match="b-7"):
        models_of(FAMILY, tmp_path)


def test_the_family_decides_what_is_studied(tmp_path: Path):
    run = FamilyRun.opened(load_family("shares"), tmp_path / "shares", ["shipped"])
    study = run.study(run.models)
    assert [one.slug for one in study.models] == ["shipped-11", "shipped-12"]
    assert study.behaviours[0].world.domains == ("pets", "pottery")
    assert study.measure.authors
    wrong = FAMILY.model_copy(update={"study": {"recipe": {"stops": 3}}})
    with pytest.raises(ConfigError, match=r"f, study: recipe\.stops: there is no such field"):
        FamilyRun.opened(wrong, tmp_path / "wrong")
    assert not (tmp_path / "wrong").exists()
