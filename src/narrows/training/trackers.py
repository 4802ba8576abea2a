"""A run's losses in the trackers that Accelerate knows, TensorBoard and others."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from accelerate import PartialState
from accelerate.tracking import LOGGER_TYPE_TO_CLASS

from narrows.errors import ConfigError

Log = Callable[[Mapping[str, Any]], None]
"""Takes one entry of a run's log."""

FOLDER = "trackers"


@contextmanager
def tracked(
    names: Sequence[str], folder: Path | None, recipe: Mapping[str, Any], *, step: int = 0
) -> Iterator[Log]:
    """Open trackers for a run, and close them whatever happens; the first process alone writes.

    Args:
        names: as Accelerate names them; none for none.
        folder: the run's, for trackers that write files.
        recipe: the effective one; nested fields are named ``anchor.weight``.
        step: steps done before, in a run that goes on.

    Yields:
        A function that takes entries of the run's log.

    Raises:
        ConfigError: there is no such tracker, its package is not installed, or it needs a run's folder.
    """
    if not names or not PartialState().is_main_process:
        yield lambda entry: None
        return
    trackers = [_open(name, folder, step) for name in names]
    try:
        for tracker in trackers:
            tracker.store_init_configuration(_flat(recipe))
        yield lambda entry: _log(trackers, entry)
    finally:
        for tracker in trackers:
            tracker.finish()


def _open(name: str, folder: Path | None, step: int) -> Any:  # noqa: ANN401  (Accelerate's GeneralTracker)
    known = {str(one): kind for one, kind in LOGGER_TYPE_TO_CLASS.items()}
    if name not in known:
        raise ConfigError(f"there is no tracker {name!r}; Accelerate knows {', '.join(sorted(known))}.")
    kind = known[name]
    options: dict[str, Any] = {}
    if kind.requires_logging_directory:
        if folder is None:
            raise ConfigError(f"{name} writes files: give the run a folder.")
        options["logging_dir"] = str(folder)
    if name == "tensorboard" and step:
        options["purge_step"] = step + 1  # what a killed run logged after its last checkpoint comes again
    try:
        tracker = kind(FOLDER, **options)
        tracker.start()
    except ImportError as error:
        hint = "pip install 'narrows[trackers]'" if name == "tensorboard" else f"pip install {name}"
        raise ConfigError(f"the tracker {name} is not installed ({error}): {hint}.") from error
    return tracker


def _log(trackers: Sequence[Any], entry: Mapping[str, Any]) -> None:
    values = {name: value for name, value in entry.items() if value is not None and name != "step"}
    for tracker in trackers:
        tracker.log(values, step=entry["step"])


def _flat(fields: Mapping[str, Any], prefix: str = "") -> dict[str, str | int | float | bool]:
    """Nested fields under dotted names, as plain values that every tracker takes."""
    result: dict[str, str | int | float | bool] = {}
    for name, value in fields.items():
        if isinstance(value, Mapping):
            result |= _flat(value, f"{prefix}{name}.")
        else:
            result[prefix + name] = value if isinstance(value, int | float | bool) else str(value)
    return result
