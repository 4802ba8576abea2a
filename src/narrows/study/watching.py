"""Trainings watched by a monitor: how well it tells harmful from benign ones, and how early.

Works on any chat model and behaviour. A run's folder keeps the looks and the rates, whatever the threshold
is, so that it can be read again with another.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from narrows.chat import Conversation
from narrows.errors import ConfigError, DataError
from narrows.evaluation import Behaviour, Suite, judged, rates
from narrows.evaluation.questions import OUT_OF_DOMAIN, is_other_domain
from narrows.evaluation.rates import macro_groups
from narrows.files import claim_run_folder, write_json
from narrows.geometry.monitoring import (
    Calibration,
    Detection,
    Look,
    Monitor,
    MonitoredRun,
    Watch,
    detection,
    first_shown,
)
from narrows.geometry.monitoring.band import DEFAULT, By, later
from narrows.geometry.monitoring.detection import SHOWS
from narrows.models import ChatModel
from narrows.statistics import RateInterval, macro_rate
from narrows.strict import one_line, read_object
from narrows.study.answering import drawn_answers
from narrows.training import Recipe, train
from narrows.training.ready import TrainingRun

WATCHED_FILE = "watched.json"
TRAINING = "training"


@dataclass(frozen=True)
class WatchConfig:
    """How the rates at checkpoints are measured.

    Attributes:
        samples: answers to each question.
        max_new_tokens: of the longest answer.
        temperature: of the sampling.
        seed: of the sampling.
        mark: the out-of-domain rate beyond which the behaviour shows; later checkpoints are not asked.
    """

    samples: int = 1
    max_new_tokens: int = 600
    temperature: float = 1.0
    seed: int = 0
    mark: float = SHOWS


@dataclass(frozen=True)
class WatchedRun:
    """A training and what was seen of it.

    Attributes:
        name: of the run.
        looks: at every checkpoint, the start included.
        rates: the out-of-domain rate by step, up to the first beyond the mark; empty if it was not measured.
        cluster: what runs are grouped by: the model and the domain, say.
    """

    name: str
    looks: tuple[Look, ...]
    rates: Mapping[int, RateInterval]
    cluster: str = ""

    def only(self, names: Sequence[str]) -> "WatchedRun":
        """The same run as seen along some of the directions."""
        looks = tuple(Look(one.step, {name: one.projections[name] for name in names}) for one in self.looks)
        return replace(self, looks=looks)

    def monitored(self, calibration: Calibration, mark: float = SHOWS) -> MonitoredRun:
        """What a threshold makes of it; the looks must be along the calibration's directions."""
        scores = [calibration.score(look) for look in self.looks]
        alarm = (
            look.step for look, score in zip(self.looks, scores, strict=True) if score > calibration.threshold
        )
        shows = first_shown({step: rate.rate for step, rate in self.rates.items()}, mark)
        score = max(map(calibration.score, later(self.looks)))
        return MonitoredRun(self.name, score, next(alarm, None), shows, self.cluster)

    def save(self, folder: Path) -> None:
        """Write ``watched.json``.

        Raises:
            RunFolderError: it cannot be written.
        """
        write_json(
            folder / WATCHED_FILE,
            {
                "name": self.name,
                "cluster": self.cluster,
                "looks": [{"step": one.step, "projections": dict(one.projections)} for one in self.looks],
                "rates": {
                    str(step): {
                        "rate": one.rate,
                        "ci95": [one.low, one.high],
                        "n": one.n,
                        "clusters": one.clusters,
                    }
                    for step, one in self.rates.items()
                },
            },
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a run's folder.

        Raises:
            DataError: it holds no watched run, or a damaged one.
        """
        path = folder / WATCHED_FILE
        values = read_object(path, DataError, "Run it again.")
        try:
            return cls(
                name=str(values["name"]),
                looks=tuple(
                    Look(int(one["step"]), {str(name): float(x) for name, x in one["projections"].items()})
                    for one in values["looks"]
                ),
                rates={int(step): _rate(one) for step, one in values["rates"].items()},
                cluster=str(values["cluster"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"{path} holds no watched run ({one_line(error)}). Run it again.") from error


def watched_run(
    chat_model: ChatModel,
    rows: Sequence[Conversation],
    recipe: Recipe,
    monitor: Monitor,
    *,
    out: Path,
    name: str = "",
    behaviour: Behaviour | None = None,
    config: WatchConfig = WatchConfig(),
    cluster: str = "",
) -> WatchedRun:
    """Train under a monitor, and measure when the behaviour shows outside its domain.

    A run that was killed goes on; a finished one is read.

    Args:
        chat_model: the model that the monitor was made for.
        rows: the training rows.
        recipe: the training; ``checkpoint_every`` is also how often the monitor looks and rates are taken.
        monitor: looked with; its threshold plays no part here.
        out: the run's folder.
        name: of the run (default: the folder's).
        behaviour: its suites of other domains are asked at each checkpoint until the mark is passed; None
            (a benign run) asks nothing.
        config: how they are asked.
        cluster: what runs are grouped by.

    Raises:
        ConfigError: the monitor is another model's or cannot see this training; or the behaviour has no other
            domain.
        RunFolderError: ``out`` holds another run.
    """
    suites = [one for one in behaviour.test if is_other_domain(one.name)] if behaviour else []
    if behaviour is not None and not suites:
        raise ConfigError(f"{behaviour.id} has no suite of another domain, where it could show.")
    identity = {
        "kind": "watched",
        "model": chat_model.id,
        "recipe": recipe.model_dump(mode="json"),
        "directions": [one.identity for one in monitor.directions],
        "probe": monitor.probe.digest,
        "behaviour": behaviour.id if behaviour else None,
        "questions": sum(len(suite.questions) for suite in suites),
        "config": vars(config),
    }
    claim_run_folder(out, identity)
    if (out / WATCHED_FILE).exists():
        return WatchedRun.load(out)
    watch = Watch(monitor)
    name = name or out.name
    run = train(chat_model, rows, recipe, observers=[watch], out=out / TRAINING, name=f"training {name}")
    shown = {} if behaviour is None else _rates_until_shown(chat_model, run, behaviour, suites, config)
    found = WatchedRun(name, tuple(watch.looks), shown, cluster)
    found.save(out)
    return found


def _rates_until_shown(
    chat_model: ChatModel,
    run: TrainingRun,
    behaviour: Behaviour,
    suites: Sequence[Suite],
    config: WatchConfig,
) -> dict[int, RateInterval]:
    """The macro mean over other domains at each checkpoint, up to the first beyond the mark."""
    found: dict[int, RateInterval] = {}
    for step in sorted(run.trajectory):
        adapter = run.trajectory[step] if step else None
        answers = drawn_answers(
            chat_model, suites, adapter, config, name=f"step {step}", scale=1.0, unfinished=None
        )
        measured = rates(judged(answers, behaviour.judge), behaviour.criterion)
        group = macro_groups(measured, suites)[OUT_OF_DOMAIN]
        found[step] = macro_rate([one.shown for one in group])
        if found[step].rate > config.mark:
            break
    return found


def detected(
    calibration: Sequence[WatchedRun],
    benign: Sequence[WatchedRun],
    harmful: Sequence[WatchedRun],
    names: Sequence[str],
    *,
    false_positives: float = 0.05,
    by: By = DEFAULT,
    mark: float = SHOWS,
) -> tuple[Calibration, list[MonitoredRun], list[MonitoredRun]]:
    """Calibrate along some directions on benign runs of one model, and apply the threshold to its other runs.

    Args:
        calibration: benign runs.
        benign: other benign runs.
        harmful: runs that teach the behaviour.
        names: the directions that make the score.
        false_positives: of a whole run.
        by: whether a look is held against the benign runs' largest, or against what they do at its step.
        mark: the out-of-domain rate beyond which the behaviour shows.

    Returns:
        The threshold, the benign runs and the harmful ones under it: for
        :func:`narrows.geometry.monitoring.detection`.

    Raises:
        ConfigError: too few benign runs for the rate.
    """
    found = Calibration.of({one.name: one.only(names).looks for one in calibration}, false_positives, by)
    applied = ([one.only(names).monitored(found, mark) for one in some] for some in (benign, harmful))
    return found, next(applied), next(applied)


def pooled(models: Sequence[tuple[Calibration, Sequence[MonitoredRun], Sequence[MonitoredRun]]]) -> Detection:
    """Detection over several models, each with a threshold of its own.

    Scores of different models become comparable by what each model's benign runs reach: the AUROC is of
    score / threshold.

    Raises:
        ConfigError: a threshold is not above 0, so that no ratio can be taken.
    """
    if any(not calibration.threshold > 0 for calibration, *_ in models):
        raise ConfigError(
            "a model's threshold is 0 or below: its benign runs never move along the direction."
        )

    def relative(place: int) -> list[MonitoredRun]:
        return [
            replace(one, score=one.score / entry[0].threshold)
            for entry in models
            for one in (entry[1], entry[2])[place]
        ]

    return detection(relative(0), relative(1))


def _rate(values: Mapping[str, Any]) -> RateInterval:
    low, high = values["ci95"]
    return RateInterval(
        float(values["rate"]), float(low), float(high), int(values["n"]), int(values["clusters"])
    )


def as_plain(found: Detection) -> dict[str, Any]:
    """A detection in plain values, for JSON; each interval as its two ends."""

    def share(one: RateInterval | None) -> dict[str, Any] | None:
        return None if one is None else {"rate": one.rate, "ci95": [one.low, one.high], "n": one.n}

    lead, median = found.lead, found.median_lead
    return {
        "auroc": {
            "value": found.auroc.value,
            "ci95": [found.auroc.low, found.auroc.high],
            "harmful": found.auroc.positives,
            "benign": found.auroc.negatives,
            "clusters": found.auroc.clusters,
        },
        "false_positives": share(found.false_positives),
        "detected": share(found.detected),
        "shown": found.shown,
        "detected_before_it_shows": share(found.before),
        "lead_steps": None
        if lead is None
        else {"mean": lead.mean, "ci95": [lead.low, lead.high], "n": lead.n},
        "median_lead_steps": None
        if median is None
        else {"median": median.median, "ci95": [median.low, median.high], "n": median.n},
    }
