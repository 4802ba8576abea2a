"""Inspect's log files: how they are written, and what they may unpack to, since a stranger may have."""

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from narrows.errors import DataError
from narrows.files import LARGEST_TEXT, atomic_path

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog

SUFFIXES = (".eval", ".json")

LARGEST_UNPACKED = 2**26
"""Bytes that any log may unpack to; a larger one may do so up to :data:`MOST_TIMES` its size."""

MOST_TIMES = 200
"""Repetitive answers are packed to a fiftieth of their size, and hardly to less."""

_AT_ONCE = 200
"""Samples that wait to be written."""


def log_format(path: Path) -> Literal["eval", "json"]:
    """A log's format, by its name.

    Raises:
        DataError: the name ends otherwise.
    """
    if path.suffix not in SUFFIXES:
        raise DataError(f"{path} is no Inspect log by its name: it should end in .eval (or .json).")
    return "json" if path.suffix == ".json" else "eval"


def write_log(log: "EvalLog", path: Path) -> None:
    """Write a log for ``inspect view``, atomically; ``.eval`` or ``.json`` by its name.

    Raises:
        DataError: the name ends otherwise.
        RunFolderError: it cannot be written.
    """
    import anyio
    from inspect_ai.log import write_eval_log

    kind = log_format(path)
    with atomic_path(path) as temporary:
        if kind == "json":
            write_eval_log(log, str(temporary), format="json")
        else:
            try:
                anyio.run(_write_in_parts, log, temporary)
            except (ImportError, AttributeError, TypeError):  # another version of Inspect
                write_eval_log(log, str(temporary), format="eval")


async def _write_in_parts(log: "EvalLog", path: Path) -> None:
    """What Inspect's ``write_eval_log`` does, with samples let go as they are written.

    Inspect's own holds all samples until the end and compares each with all before it: 6,000 samples take a
    minute.
    """
    from inspect_ai.log._condense import condense_sample
    from inspect_ai.log._recorders.eval import EvalRecorder

    recorder = EvalRecorder(str(path.parent))
    await recorder.log_init(log.eval, str(path), clean=True)
    await recorder.log_start(log.eval, log.plan)
    for number, sample in enumerate(log.samples or (), start=1):
        await recorder.log_sample(log.eval, condense_sample(sample))
        if number % _AT_ONCE == 0:
            await recorder.flush(log.eval)
    await recorder.log_finish(log.eval, log.status, log.stats, log.results, log.reductions, log.error)


def check_size(path: Path) -> None:
    """Refuse a log that is too large to be read, before it is read.

    Raises:
        DataError: it is no zip though it is called ``.eval``, or would fill the memory.
        OSError: it cannot be read.
    """
    size = path.stat().st_size
    if size > LARGEST_TEXT:
        raise DataError(f"this log is larger than {LARGEST_TEXT // 2**30} GiB: judge fewer answers at once.")
    if path.suffix == ".json":
        return
    try:
        with zipfile.ZipFile(path) as packed:
            unpacked = sum(member.file_size for member in packed.infolist())
    except (zipfile.BadZipFile, ValueError) as error:
        raise DataError("it is no Inspect log, or one that is cut short: it is no whole zip file.") from error
    if unpacked > max(LARGEST_UNPACKED, MOST_TIMES * size):
        raise DataError(f"it unpacks to more than {MOST_TIMES} times its size, as no log does.")
