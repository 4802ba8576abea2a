"""Adapters on the Hugging Face hub, ``hub:owner/name[@revision][::path/inside]``, fetched file by file.

Only what reading an adapter takes is fetched: tensors and JSON, by name, never code. Where the hub cannot be
reached, what an earlier call left in its cache does.
"""

import glob
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath

from narrows.adapters.interchange.hub_errors import fetching_failed, shown_cause
from narrows.adapters.interchange.layouts import LOOKED_FOR, adapter_among, place_of
from narrows.errors import AdapterError, NarrowsError

HUB = "hub:"
SPELLING = "hub:owner/name, and after it, where wanted, @revision and ::path/inside"

LARGEST = 8 * 2**30
"""Bytes that one adapter (or run of checkpoints) may have: more is no adapter, or a mistake."""

_REPO = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[\w.-]{1,96}", re.ASCII)
_REVISION = re.compile(r"[\w][\w./-]{0,254}", re.ASCII)
_NAMES_SHOWN = 6

Listing = dict[str, int]
"""A repository's files, each with its bytes."""


def on_hub(path: Path | str) -> bool:
    """Whether a path is the name of something on the hub."""
    return str(path).startswith(HUB)


@dataclass(frozen=True)
class HubName:
    """A place on the hub.

    Attributes:
        repo: ``owner/name``.
        revision: a branch, tag or commit; None is the main branch.
        inside: a file or folder in the repository; empty is the whole of it.
    """

    repo: str
    revision: str | None = None
    inside: str = ""

    @classmethod
    def parse(cls, source: Path | str) -> "HubName":
        """Read ``hub:owner/name[@revision][::path/inside]``.

        Raises:
            AdapterError: it is spelt otherwise, or its path leaves the repository.
        """
        text = source.as_posix() if isinstance(source, PurePath) else source
        place, separator, inside = text.removeprefix(HUB).partition("::")
        repo, at, revision = place.partition("@")
        if not is_repo(repo) or (at and not _is_revision(revision)) or (separator and not inside):
            raise AdapterError(f"{text!r} is no place on the hub: it is spelt {SPELLING}.")
        parts = inside.rstrip("/").split("/") if inside else []
        if any(part in ("", ".", "..") or not part.isprintable() or "\\" in part for part in parts):
            raise AdapterError(
                f"{text!r}: the path after :: leaves the repository or is no path in it. It is relative to "
                "the repository's top, such as ::checkpoints/checkpoint-100/steering_vector.pt."
            )
        return cls(repo, revision or None, "/".join(parts))

    @property
    def repository(self) -> str:
        """The repository as a user spells it, without the path inside."""
        return f"{HUB}{self.repo}" + (f"@{self.revision}" if self.revision else "")

    def __str__(self) -> str:
        return self.repository + (f"::{self.inside}" if self.inside else "")


def is_repo(name: str) -> bool:
    """Whether a text is spelt as a repository's name, ``owner/name``."""
    return bool(_REPO.fullmatch(name)) and ".." not in name and "--" not in name


def _is_revision(text: str) -> bool:
    """Whether a text may be a revision; the hub's client makes it part of a path in its cache."""
    return bool(_REVISION.fullmatch(text)) and ".." not in text and "//" not in text


@contextmanager
def fetched_adapter(name: HubName) -> Iterator[Path]:
    """Fetch an adapter; yields its file on this disk, or its folder if PEFT saved it.

    Errors about its files, inside the ``with`` block, name them by their place on the hub.

    Raises:
        AdapterError: there is no such repository, revision or adapter, it is gated or private, the hub cannot
            be reached, or the adapter is large beyond reason.
    """
    files = _listing(name)
    if name.inside in files:
        place = place_of(name.inside)
        wanted = [file for file in place.files if file in files]
        path = place.path
    else:
        below = _below(files, name.inside)
        found = adapter_among(below)
        if found is None:
            raise AdapterError(f"{name} holds no adapter: looked for {LOOKED_FOR}. {_others(name, files)}")
        wanted = [below[file] for file in found.files if file in below]
        path = "/".join(part for part in (name.inside, found.path) if part)
    root = _download(name, files, wanted)
    with _named_by_hub(name, root):
        yield root / path


@contextmanager
def fetched_folder(
    name: HubName, choose: Callable[[Collection[str]], Collection[str]], what: str
) -> Iterator[Path]:
    """Fetch some files of a folder; yields the folder on this disk.

    Errors about its files, inside the ``with`` block, name them by their place on the hub.

    Args:
        name: the folder.
        choose: which of the folder's files are wanted, of their names relative to it.
        what: what they are, for the error that there are none.

    Raises:
        AdapterError: as :func:`fetched_adapter`.
    """
    files = _listing(name)
    below = _below(files, name.inside)
    wanted = [below[file] for file in choose(below) if file in below]
    if not wanted:
        raise AdapterError(f"{name} holds {what}. {_others(name, files)}")
    root = _download(name, files, wanted)
    with _named_by_hub(name, root):
        yield root / name.inside


def _below(files: Collection[str], folder: str) -> dict[str, str]:
    """Names relative to a folder of the repository, each with the whole name."""
    prefix = f"{folder}/" if folder else ""
    return {file.removeprefix(prefix): file for file in files if file.startswith(prefix)}


def _listing(name: HubName) -> Listing:
    """The repository's files: from the hub or, where it cannot be asked, as they were when last asked."""
    from huggingface_hub import HfApi

    try:
        info = HfApi().model_info(name.repo, revision=name.revision, files_metadata=True)
    except Exception as error:  # noqa: BLE001  (the client lets errors of its HTTP library through)
        kept = _kept_listing(name)
        if kept is None:
            raise fetching_failed(str(name), name.repo, error) from shown_cause(error)
        return kept
    return {one.rfilename: one.size or 0 for one in info.siblings or []}


def _kept_listing(name: HubName) -> Listing | None:
    from huggingface_hub import get_cached_repo_tree
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    try:
        return {one.path: one.size for one in get_cached_repo_tree(name.repo, revision=name.revision)}
    except (CachedRepoTreeNotFoundError, OSError, ValueError):
        return None


def _download(name: HubName, files: Listing, wanted: Collection[str]) -> Path:
    """Fetch these files and no others; returns the repository's folder on this disk."""
    from huggingface_hub import snapshot_download

    size = sum(files[file] for file in wanted)
    if size > LARGEST:
        raise AdapterError(
            f"{name} has {size / 2**30:.1f} GiB in what would be its adapter, and at most "
            f"{LARGEST // 2**30} GiB are fetched: that is no adapter. Give the path of one after ::, or "
            "fetch it yourself and give the folder."
        )
    # The client matches patterns; a name with a bracket or an asterisk must match itself only.
    exact = [glob.escape(file) for file in wanted]
    try:
        return Path(snapshot_download(name.repo, revision=name.revision, allow_patterns=exact))
    except Exception as error:  # noqa: BLE001  (the client lets errors of its HTTP library through)
        raise fetching_failed(str(name), name.repo, error) from shown_cause(error)


@contextmanager
def _named_by_hub(name: HubName, root: Path) -> Iterator[None]:
    """Say the place on the hub where an error says that in the cache, which means nothing to a reader."""
    try:
        yield
    except NarrowsError as error:
        said = str(error).replace(f"{root}/", f"{name.repository}::").replace(str(root), name.repository)
        raise type(error)(said) from error


def _others(name: HubName, files: Collection[str]) -> str:
    """What else the repository holds that could be meant."""
    tensors = sorted(file for file in files if file.endswith((".safetensors", ".pt")) and file.isprintable())
    if not tensors:
        return "The repository holds no .safetensors and no .pt file at all: is it the right one?"
    shown = ", ".join(tensors[:_NAMES_SHOWN]) + (", …" if len(tensors) > _NAMES_SHOWN else "")
    return f"The repository's tensors are in {shown}; give a file or its folder as {name.repository}::PATH."
