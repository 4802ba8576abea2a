"""How long the stages of a run took, over all its sittings."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from narrows.errors import DataError
from narrows.files import write_json
from narrows.strict import read_object

logger = logging.getLogger(__name__)


class Clock:
    """Seconds by stage, added up over the sittings of a run that was killed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.seconds: dict[str, float] = self._kept()

    def _kept(self) -> dict[str, float]:
        """The seconds of earlier sittings; none if the file is damaged, since no result depends on them."""
        if not self._path.exists():
            return {}
        try:
            kept = read_object(self._path, DataError, "The timings begin again.")
            return {stage: float(seconds) for stage, seconds in kept.items()}
        except (DataError, TypeError, ValueError) as error:
            logger.warning("%s", error)
            return {}

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        """Time a stage."""
        started = time.perf_counter()
        try:
            yield
            logger.info("%s: %.1f s", stage, time.perf_counter() - started)
        finally:
            self.seconds[stage] = round(self.seconds.get(stage, 0.0) + time.perf_counter() - started, 2)
            write_json(self._path, self.seconds)
