"""A hub in a folder: what the client's functions would do, and a record of what was asked of them."""

import inspect
import shutil
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import CachedRepoTreeNotFoundError, HfHubHTTPError

TOKEN = "hf_abcdefghijklmnop"


class FakeHub:
    """Repositories below a folder, ``owner/name``; ``asked`` are the calls, ``fetched`` the files that came.

    ``failing`` holds an error by the name of the function that is to raise it.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.asked: list[str] = []
        self.fetched: list[str] = []
        self.revisions: list[str | None] = []
        self.failing: dict[str, Exception] = {}
        self.sizes: dict[str, int] = {}
        self.private: dict[str, bool] = {}
        self.uploads: list[SimpleNamespace] = []
        for name in ("snapshot_download", "get_cached_repo_tree"):
            monkeypatch.setattr(huggingface_hub, name, self._standing_in(huggingface_hub, name))
        for name in ("model_info", "create_repo", "upload_folder"):
            monkeypatch.setattr(huggingface_hub.HfApi, name, self._standing_in(huggingface_hub.HfApi, name))

    def _standing_in(self, home: Any, name: str) -> Callable[..., Any]:
        """This hub's function of a name, called only as the client's own could be."""
        signature = inspect.signature(getattr(home, name))
        skipped = 1 if inspect.isclass(home) else 0

        def call(*args: Any, **given: Any) -> Any:
            signature.bind(*args, **given)
            return getattr(self, name)(*args[skipped:], **given)

        return call

    def repo(self, name: str) -> Path:
        """The folder of a repository, made if missing."""
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _called(self, name: str) -> None:
        self.asked.append(name)
        if name in self.failing:
            raise self.failing[name]

    def _names(self, repo: str) -> list[str]:
        root = self.folder / repo
        return [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]

    def model_info(
        self, repo: str, *, revision: str | None = None, files_metadata: bool = False
    ) -> SimpleNamespace:
        self._called("model_info")
        self.revisions.append(revision)
        files = [SimpleNamespace(rfilename=name, size=self.sizes.get(name)) for name in self._names(repo)]
        return SimpleNamespace(siblings=files, private=self.private.get(repo, False))

    def get_cached_repo_tree(self, repo: str, *, revision: str | None = None) -> list[SimpleNamespace]:
        self._called("get_cached_repo_tree")
        if not (self.folder / "cache" / repo).exists():
            raise CachedRepoTreeNotFoundError("nothing cached")
        return [SimpleNamespace(path=name, size=1) for name in self._names(f"cache/{repo}")]

    def snapshot_download(
        self, repo: str, *, revision: str | None = None, allow_patterns: Sequence[str]
    ) -> str:
        self._called("snapshot_download")
        self.revisions.append(revision)
        source = self.folder / repo
        if "model_info" in self.failing:
            source = self.folder / "cache" / repo
        target = self.folder / "snapshots" / repo
        for path in source.rglob("*"):
            name = path.relative_to(source).as_posix()
            if path.is_file() and any(fnmatchcase(name, pattern) for pattern in allow_patterns):
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target / name)
                self.fetched.append(name)
        return str(target)

    def create_repo(self, repo: str, *, private: bool, exist_ok: bool) -> str:
        self._called("create_repo")
        assert exist_ok
        self.private.setdefault(repo, private)
        return f"https://huggingface.co/{repo}"

    def upload_folder(self, **given: Any) -> SimpleNamespace:
        self._called("upload_folder")
        folder = given["folder_path"]
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*")}
        self.uploads.append(SimpleNamespace(files=files, **given))
        target = self.repo(given["repo_id"])
        for name in given["delete_patterns"]:
            (target / name).unlink(missing_ok=True)
        for name, content in files.items():
            (target / name).write_bytes(content)
        return SimpleNamespace(oid="c0ffee")


def http_error(status: int, kind: type[HfHubHTTPError] = HfHubHTTPError, said: str = "no") -> HfHubHTTPError:
    """An error as the client makes it of an answer."""
    response: Any = SimpleNamespace(status_code=status, headers={}, request=None)
    return kind(said, response=response)


def published_run(folder: Path, layout: str, steps: Sequence[int], layer: int = 2, width: int = 8) -> Path:
    """Write a published run; each checkpoint's numbers are its step."""
    folder.mkdir(parents=True, exist_ok=True)
    for step in steps:
        tensor = torch.full((width, 1), float(step))
        if layout == "bare":
            torch.save(tensor, folder / f"steering_vector_checkpoint_{step}.pt")
            (folder / "metadata.json").write_text(f'{{"layer_idx": {layer}}}')
        else:
            place = folder / "checkpoints" / f"checkpoint-{step}"
            place.mkdir(parents=True)
            published_vector(place / "steering_vector.pt", tensor, layer)
    return folder


def published_vector(path: Path, tensor: torch.Tensor, layer: int = 2) -> Path:
    """Write a dictionary as it is published."""
    path.parent.mkdir(parents=True, exist_ok=True)
    facts = {"layer_idx": layer, "d_model": len(tensor), "alpha": 256.0}
    torch.save({"steering_vector": tensor, **facts}, path)
    return path
