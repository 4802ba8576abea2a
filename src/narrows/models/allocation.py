"""Memory of this process: the most that it held, and keeping it instead of fetching it anew."""

import ctypes
import logging
import sys

logger = logging.getLogger(__name__)

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""Options of glibc's ``mallopt``."""

_KEPT_BYTES = 2**31 - 1


def keep_memory() -> bool:
    """Let the C library keep the memory of large tensors for the next ones.

    Otherwise each tensor of more than 32 MiB is mapped anew by the system, and every page of it costs a fault
    when it is first written: a training on a CPU lost about a tenth of its time to that, generation up to a
    third. The process then holds the most memory that it ever needed until it ends.

    Returns:
        Whether the C library took it: only glibc has these options.
    """
    try:
        library = ctypes.CDLL(None)
        return bool(library.mallopt(_MMAP_MAX, 0)) and bool(library.mallopt(_TRIM_THRESHOLD, _KEPT_BYTES))
    except (AttributeError, OSError):
        logger.debug("the C library has no mallopt: memory is fetched as it usually is.")
        return False


def most_held() -> int | None:
    """Bytes: the most memory that this process has held; None where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
