"""Results of stages in a place that machines share by its URL: S3, and all else that fsspec knows."""

import json
import logging
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from narrows.errors import ConfigError, DataError, NarrowsError, RunFolderError
from narrows.progress import track
from narrows.strict import one_line, parse_json
from narrows.study.plan.stage import Stage
from narrows.study.store import DONE, Store

logger = logging.getLogger(__name__)

LOOK_SECONDS = 3.0
"""How long a listing of what is finished is believed."""

AGAIN = "Remove it there, and the stage's folder here, and run the study again."


def open_store(root: Path | str, shared: str | None) -> Store:
    """The store of a study.

    Args:
        root: the study's folder.
        shared: a folder or URL that keeps the stages' results for several studies or machines; None keeps
            them in the study's folder.

    Raises:
        ConfigError: the URL is of a kind for which a package is missing.
    """
    if shared is not None and "://" in shared:
        return SharedStore(root, shared)
    return Store(root, shared)


class SharedStore(Store):
    """A store whose finished stages are at a URL; a local folder holds copies of those that are read.

    At the URL ``stages/ID.json`` says what a finished stage was and which of ``uploads/`` holds its files. It
    is written last and in one step, so that whoever reads it finds all files there, and of two machines that
    did one stage only the first one's result counts. Work under way, locks and the journal stay on each
    machine: two machines that begin one stage at once both do it.

    Args:
        root: the local folder.
        url: where results are shared.

    Raises:
        ConfigError: the URL is of a kind for which a package is missing.
    """

    def __init__(self, root: Path | str, url: str) -> None:
        super().__init__(root)
        self.url = url.rstrip("/")
        self._listed: set[str] = set()
        self._look_at = 0.0
        _ = self._place  # so that a wrong URL is met at once

    @cached_property
    def _place(self) -> tuple[Any, str]:
        """The file system, and the path on it."""
        from fsspec.core import url_to_fs

        try:
            files, path = url_to_fs(self.url)
        except (ImportError, ValueError) as error:
            raise ConfigError(
                f"store {self.url!r} cannot be opened: {one_line(error)}. A kind of URL needs its package: "
                "s3fs for s3://, gcsfs for gs://, adlfs for abfs://."
            ) from error
        return files, str(path).rstrip("/")

    @property
    def shared(self) -> str | None:
        """The URL."""
        return self.url

    def refresh(self) -> None:
        """Look again at what other machines have finished."""
        self._look_at = 0.0

    def finished(self, stage_id: str) -> bool:
        """Whether a stage's result is there: at the URL, or here as a copy of it."""
        return super().finished(stage_id) or stage_id in self._there()

    def _there(self) -> set[str]:
        """Ids of the stages that are finished at the URL."""
        if time.monotonic() >= self._look_at:
            files, base = self._place
            with self._reaching():
                files.invalidate_cache()
                try:
                    names = files.ls(f"{base}/stages", detail=False)
                except FileNotFoundError:
                    names = []
            found = (PurePosixPath(str(name)).name for name in names)
            self._listed = {name.removesuffix(".json") for name in found if name.endswith(".json")}
            self._look_at = time.monotonic() + LOOK_SECONDS
        return self._listed

    def _surely_there(self, stage_id: str) -> bool:
        """Whether a stage is finished at the URL; looked at again before the answer is no."""
        if stage_id not in self._there():
            self.refresh()
        return stage_id in self._there()

    def folder(self, stage_id: str) -> Path:
        """Where a finished stage's result is here; fetched if it is not here yet.

        Raises:
            RunFolderError: the URL cannot be reached, or this disk cannot be written.
            DataError: what is there is damaged.
        """
        folder = self._here(stage_id)
        if not super().finished(stage_id) and self._surely_there(stage_id):
            self._fetch(stage_id, folder)
        return folder

    def facts(self, stage_id: str) -> dict[str, Any]:
        """What a finished stage says of itself; its files are not fetched for that.

        Raises:
            DataError: it is not finished, or its file is damaged.
            RunFolderError: the URL cannot be reached.
        """
        if super().finished(stage_id) or not self._surely_there(stage_id):
            return super().facts(stage_id)
        found: dict[str, Any] = self._card(stage_id)["facts"]
        return found

    def publish(self, stage: Stage, facts: Mapping[str, Any]) -> None:
        """Bring what lies in the stage's work folder to the URL, and then make it the result here.

        Raises:
            RunFolderError: it cannot be written; the work folder stays, to be published by the next try.
        """
        if self._surely_there(stage.id):
            shutil.rmtree(self.work(stage.id), ignore_errors=True)  # another machine was first: theirs counts
            return
        self._seal(stage, facts)
        self._bring(stage.id, self.work(stage.id))
        self._settle(stage)

    def share_local(self) -> None:
        """Bring to the URL what was finished here before the store had one."""
        mine = sorted(path.parent.name for path in self.home.glob(f"stages/*/{DONE}"))
        missing = [stage_id for stage_id in mine if stage_id not in self._there()]
        for stage_id in track(missing, "sharing finished stages"):
            self._bring(stage_id, self._here(stage_id))

    def log(self, name: str) -> Path:
        """The log of a task; begun on another machine, it is fetched first."""
        path, (files, base) = super().log(name), self._place
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with self._reaching():
                if files.exists(f"{base}/logs/{path.name}"):
                    files.get_file(f"{base}/logs/{path.name}", str(path))
        return path

    def share_log(self, name: str) -> None:
        """Bring the log of a task to the URL; a fault in that is logged and stops nothing."""
        path, (files, base) = super().log(name), self._place
        try:
            if path.exists():
                files.makedirs(f"{base}/logs", exist_ok=True)
                files.put_file(str(path), f"{base}/logs/{path.name}")
        except Exception as error:  # noqa: BLE001  (each kind of storage has its own errors)
            logger.warning("%s: the log %s could not be written (%s).", self.url, path.name, one_line(error))

    def _bring(self, stage_id: str, folder: Path) -> None:
        """Copy a folder to the URL, and then say there that the stage is finished."""
        files, base = self._place
        upload = f"{stage_id}-{uuid.uuid4().hex[:8]}"
        names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        card = {
            "facts": json.loads((folder / DONE).read_text(encoding="utf-8")),
            "upload": upload,
            "files": {name: (folder / name).stat().st_size for name in names},
        }
        done = f"{base}/stages/{stage_id}.json"
        with self._reaching():
            for parent in sorted({str(PurePosixPath(name).parent) for name in names}):
                files.makedirs(f"{base}/uploads/{upload}/{parent}".removesuffix("/."), exist_ok=True)
            files.put(
                [str(folder / name) for name in names], [f"{base}/uploads/{upload}/{name}" for name in names]
            )
            files.makedirs(f"{base}/stages", exist_ok=True)
            if files.exists(done):
                files.rm(f"{base}/uploads/{upload}", recursive=True)
            else:
                files.pipe_file(f"{done}.{upload}.part", json.dumps(card, indent=2).encode())
                files.mv(f"{done}.{upload}.part", done)
        self.refresh()

    def _fetch(self, stage_id: str, folder: Path) -> None:
        """Copy a stage's files from the URL; the folder appears whole."""
        files, base = self._place
        card = self._card(stage_id)
        arriving = self.home / "fetched" / f"{stage_id}-{uuid.uuid4().hex[:8]}"
        names = list(card["files"])
        try:
            for name in names:
                (arriving / name).parent.mkdir(parents=True, exist_ok=True)
            with self._reaching():
                files.get(
                    [f"{base}/uploads/{card['upload']}/{name}" for name in names],
                    [str(arriving / name) for name in names],
                )
            for name, size in card["files"].items():
                if not (arriving / name).is_file() or (arriving / name).stat().st_size != size:
                    raise DataError(
                        f"{self.url}/uploads/{card['upload']}/{name} is damaged or missing. {AGAIN}"
                    )
            folder.parent.mkdir(parents=True, exist_ok=True)
            try:
                arriving.rename(folder)
            except OSError as error:
                if not super().finished(stage_id):  # another process fetched it meanwhile
                    raise RunFolderError(
                        f"{folder}: cannot be written ({error.strerror or error})."
                    ) from error
        finally:
            shutil.rmtree(arriving, ignore_errors=True)

    def _card(self, stage_id: str) -> dict[str, Any]:
        """What the URL says of a finished stage.

        Raises:
            DataError: it is damaged, or names files outside the stage's folder.
        """
        files, base = self._place
        where = f"{self.url}/stages/{stage_id}.json"
        with self._reaching():
            text = files.cat_file(f"{base}/stages/{stage_id}.json")
        try:
            card = parse_json(text.decode("utf-8"))
            inside = [*card["files"], card["upload"]]
            sizes = list(card["files"].values())
            sound = isinstance(card["facts"], dict) and all(isinstance(size, int) for size in sizes)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{where} is damaged. {AGAIN}") from error
        if not sound or DONE not in card["files"] or not all(map(_inside, inside)):
            raise DataError(f"{where} is damaged. {AGAIN}")
        return dict(card)

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Errors of any kind of storage as one of ours."""
        try:
            yield
        except NarrowsError:
            raise
        except Exception as error:
            raise RunFolderError(
                f"store {self.url}: cannot be read or written ({type(error).__name__}: {one_line(error)}). "
                "Finished stages stay where they are; run the same command again once it can be reached."
            ) from error


def _inside(name: object) -> bool:
    """Whether a name leads nowhere but further down."""
    parts = PurePosixPath(name).parts if isinstance(name, str) else ()
    return bool(parts) and "\\" not in str(name) and ".." not in parts and parts[0] != "/"
