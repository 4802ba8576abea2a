"""Directions watched: while anyone fine-tunes a model, over finished runs, and while a model answers.

``probe`` is what a monitor reads and ``stream`` how, ``monitor`` looks at weights, and ``calibration`` says
when a look is an alarm, by the ``band`` of benign runs. ``shift`` takes directions out of what a fine-tune
does to the stream. ``observer`` looks on in our own training loop, ``callback`` in Hugging Face's Trainer
(imported when it is first asked for). ``answers`` ranks answers, ``detection`` says how good a monitor is.
"""

from typing import TYPE_CHECKING

from narrows.geometry.monitoring.answers import RankedAnswers, answer_projections, ranked_answers
from narrows.geometry.monitoring.band import Look
from narrows.geometry.monitoring.calibration import Calibration
from narrows.geometry.monitoring.detection import Detection, MonitoredRun, detection, first_shown
from narrows.geometry.monitoring.monitor import Monitor
from narrows.geometry.monitoring.observer import Watch, described
from narrows.geometry.monitoring.probe import Probe
from narrows.geometry.monitoring.shift import shift_directions

if TYPE_CHECKING:
    from narrows.geometry.monitoring.callback import MonitorCallback, watch_trainer

__all__ = [
    "Calibration",
    "Detection",
    "Look",
    "Monitor",
    "MonitorCallback",
    "MonitoredRun",
    "Probe",
    "RankedAnswers",
    "Watch",
    "answer_projections",
    "described",
    "detection",
    "first_shown",
    "ranked_answers",
    "shift_directions",
    "watch_trainer",
]


def __getattr__(name: str) -> object:
    """Import the Trainer's callback when it is first asked for."""
    if name not in ("MonitorCallback", "watch_trainer"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from narrows.geometry.monitoring import callback

    return getattr(callback, name)
