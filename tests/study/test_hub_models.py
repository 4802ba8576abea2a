"""Models of a study that are on the hub: addressed by their commit, and loaded at it."""

from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest

from narrows.errors import ModelError
from narrows.study.config import ModelEntry
from narrows.study.materials import fingerprint, models
from narrows.study.materials.models import revision_of


@pytest.fixture(autouse=True)
def _forget() -> None:
    models._identity.cache_clear()
    models._commit.cache_clear()


def _hub(monkeypatch: pytest.MonkeyPatch, sha: str) -> list[tuple[str, str | None]]:
    """A hub that names one commit; returns what it was asked."""
    asked: list[tuple[str, str | None]] = []

    def info(name: str, revision: str | None = None) -> SimpleNamespace:
        asked.append((name, revision))
        return SimpleNamespace(sha=sha)

    monkeypatch.setattr(huggingface_hub, "model_info", info)
    return asked


def test_a_model_is_loaded_at_the_commit_that_it_was_planned_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """A branch that moves between plan and stage changes nothing: the hub is asked once."""
    asked = _hub(monkeypatch, "a" * 40)
    entry = ModelEntry(name="someone/model", revision="main")
    first = fingerprint(entry)
    _hub(monkeypatch, "b" * 40)
    assert (fingerprint(entry), revision_of(entry)) == (first, "a" * 40)
    assert asked == [("someone/model", "main")]


def test_another_commit_is_another_model(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = ModelEntry(name="someone/model")
    _hub(monkeypatch, "a" * 40)
    first = fingerprint(entry)
    models._identity.cache_clear()
    models._commit.cache_clear()
    _hub(monkeypatch, "b" * 40)
    assert fingerprint(entry) != first


def test_a_folder_has_no_commit() -> None:
    assert revision_of(ModelEntry(name="microworld:1")) is None


def test_without_network_the_copy_on_this_machine_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def away(name: str, revision: str | None = None) -> None:
        raise ConnectionError("no network")

    def cached(name: str, file: str, revision: str | None = None) -> str:
        return str(tmp_path / "snapshots" / ("c" * 40) / file)

    monkeypatch.setattr(huggingface_hub, "model_info", away)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", cached)
    assert revision_of(ModelEntry(name="someone/model")) == "c" * 40


def test_a_model_that_is_nowhere_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(name: str, revision: str | None = None) -> None:
        raise ConnectionError("no network")

    monkeypatch.setattr(huggingface_hub, "model_info", away)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: None)
    with pytest.raises(ModelError, match="someone/model is no folder here"):
        fingerprint(ModelEntry(name="someone/model"))
