"""A monitor in our own training loop: it looks at every checkpoint, and may end the training."""

import logging
from typing import Any

from narrows.adapters import Adapter
from narrows.geometry.monitoring.band import Look, later
from narrows.geometry.monitoring.monitor import Monitor
from narrows.models import ChatModel

logger = logging.getLogger(__name__)


class Watch:
    """An observer for :func:`narrows.training.train`: ``observers=[Watch(monitor)]``.

    A run that was killed is looked at from its first checkpoint again, and ends where it would have.

    Args:
        monitor: what to look for.
        stop: end the training at the first alarm; the adapter is then that of the alarm.

    Attributes:
        looks: one for each checkpoint, the start included.

    Raises:
        ConfigError: it is to stop and has no threshold.
    """

    def __init__(self, monitor: Monitor, *, stop: bool = False) -> None:
        if stop:
            monitor.calibrated()
        self.monitor, self.looks = monitor, list[Look]()
        self._stop = stop
        self._judge = Judge(monitor)

    def checkpoint(self, chat_model: ChatModel, step: int, adapter: Adapter) -> bool:
        """Look at a checkpoint; True ends the training.

        Raises:
            ConfigError: the monitor was made for another model, or cannot see this training.
        """
        if not self.looks:
            self.monitor.check_model(chat_model)
            self.monitor.check_sees(adapter.layer)
        look = self.monitor.look(chat_model, step, adapter)
        self.looks.append(look)
        return self._judge.alarms(look) and self._stop

    @property
    def alarm(self) -> int | None:
        """The step of the first alarm; None without one, or without a threshold."""
        return self._judge.alarm


class Judge:
    """Holds one look after another against a monitor's threshold; says once what is to be said once."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._warned = False
        self.alarm: int | None = None

    def alarms(self, look: Look) -> bool:
        """Whether a look, or one before it, lies above the threshold."""
        calibration = self._monitor.calibration
        if calibration is None:
            return False
        if look.step > calibration.last_step and not self._warned:
            self._warned = True
            logger.warning(
                "step %d is beyond the %d steps of the benign runs: the stated false-positive rate does not "
                "hold for a longer run.",
                look.step,
                calibration.last_step,
            )
        score = calibration.score(look)
        if self.alarm is None and score > calibration.threshold:
            self.alarm = look.step
            logger.warning(
                "alarm at step %d: score %.4g above the threshold %.4g, which at most %.3g %% of benign runs "
                "ever pass.",
                look.step,
                score,
                calibration.threshold,
                100 * calibration.false_positives,
            )
        return self.alarm is not None


def described(monitor: Monitor, looks: list[Look]) -> dict[str, Any]:
    """A watched run in plain values: its looks, its largest score, and its first alarm."""
    scored = monitor.calibration is not None or len(monitor.directions) == 1
    scores = [monitor.score(look) for look in looks] if scored else []
    return {
        "probe": monitor.probe.digest,
        "threshold": monitor.calibration.threshold if monitor.calibration else None,
        "false_positives": monitor.calibration.false_positives if monitor.calibration else None,
        "score": max(map(monitor.score, later(looks))) if scores else None,
        "alarm": monitor.alarm(looks) if monitor.calibration else None,
        "looks": [
            {
                "step": look.step,
                "score": scores[place] if scores else None,
                "projections": dict(look.projections),
                "shares": {name: monitor.share(name, value) for name, value in look.projections.items()},
            }
            for place, look in enumerate(looks)
        ],
    }
