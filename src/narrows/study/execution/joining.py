"""Joining a Ray cluster, or starting one of this machine alone."""

import logging
import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from narrows.errors import ConfigError
from narrows.strict import one_line
from narrows.study.execution.local import cores

logger = logging.getLogger(__name__)

LOCAL = "local"
"""The address that starts a cluster of this machine alone, for the time of the study."""

OBJECT_STORE = 100 * 2**20
"""Bytes of Ray's object store on this machine: results go by the store of stages, not by Ray's."""

REACH_SECONDS = 10.0


def connect(address: str, *, cpus: int | None = None) -> bool:
    """Connect this process to a cluster, or start one of this machine alone.

    Args:
        address: ``local``, ``auto``, ``HOST:PORT``, or ``ray://…``.
        cpus: cores of a cluster of this machine alone (default: all that this process may use).

    Returns:
        Whether it was not connected before, so that it should be disconnected in the end.

    Raises:
        ConfigError: Ray is not installed, or there is no cluster at the address.
    """
    ray = ray_package()
    if ray.is_initialized():
        return False
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if address == LOCAL:
            ray.init(
                address=LOCAL,
                num_cpus=cpus or cores(),
                include_dashboard=False,
                object_store_memory=OBJECT_STORE,
                **quiet,
            )
        else:
            _reachable(address)
            ray.init(address=address, **quiet)
    except Exception as error:
        if address == LOCAL:
            raise ConfigError(f"Ray could not be started here: {one_line(error)}.") from error
        raise ConfigError(
            f"no Ray cluster can be joined at {address!r}: {one_line(error)}. Start one with `ray start "
            "--head` and give the address that it prints, or use `local`. Ray and Python must have the same "
            "versions on all machines, and ~/.ray/auth_token must be the same where the cluster has one."
        ) from error
    return True


def _reachable(address: str) -> None:
    """Look whether anything listens at ``HOST:PORT``: Ray itself would go on trying for minutes.

    Raises:
        OSError: nothing does.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_SECONDS).close()


def ray_package() -> Any:  # noqa: ANN401  (a module)
    """The package, which is an extra; told not to send statistics of its use.

    Raises:
        ConfigError: it is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise ConfigError("Ray is not installed: pip install 'narrows[ray]'.") from error
    return ray


class _WithoutRay:
    """Standard output but for what Ray's own thread prints there, which goes to the log.

    Ray prints each death of a process or machine, with pages of its state, on the standard output of whoever
    joined, and has no setting against it. There it would stand among results that other programs read.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        if not threading.current_thread().name.startswith("ray_"):
            return self._stream.write(text)
        if text.strip():
            logger.debug("Ray: %s", one_line(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  (whatever the stream has)
        return getattr(self._stream, name)


@contextmanager
def quiet_output() -> Iterator[None]:
    """Keep what Ray has to say off the standard output inside the ``with`` block."""
    before = sys.stdout
    ours: Any = _WithoutRay(before)  # it passes on all that a stream has
    sys.stdout = ours
    try:
        yield
    finally:
        if sys.stdout is ours:
            sys.stdout = before
