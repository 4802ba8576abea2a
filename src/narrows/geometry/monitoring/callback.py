"""A monitor in Hugging Face's Trainer, and so in TRL's: it looks every few steps, logs, and may stop."""

from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from narrows.errors import ConfigError
from narrows.geometry.monitoring.band import Look
from narrows.geometry.monitoring.monitor import Monitor
from narrows.geometry.monitoring.observer import Judge
from narrows.models import decoder_layers
from narrows.training.trainer.passes import causal_lm
from narrows.training.trainer.peft import is_peft

if TYPE_CHECKING:
    from transformers import PreTrainedModel, Trainer, TrainerControl, TrainerState, TrainingArguments

PROJECTION = "narrows/projection/"
SCORE, ALARM = "narrows/score", "narrows/alarm"


class MonitorCallback(TrainerCallback):  # type: ignore[misc]
    """Logs a monitor's projections while anyone fine-tunes: a LoRA, another PEFT adapter, or all weights.

    ``Trainer(…, callbacks=[MonitorCallback(monitor, every=20)])``. Each look adds an entry to the training's
    log history: ``narrows/projection/NAME`` for each direction and, with a threshold, ``narrows/score`` and
    ``narrows/alarm`` (0 or 1). The next entries of the Trainer's own log carry the latest of them too. A
    tracker sees them if the callback stands before its own: :func:`watch_trainer` puts it there.

    Training itself goes on bit for bit as without it: the model is run in eval mode without gradient, and
    each module's mode and the random states come back. With several processes (data parallelism) each looks
    at its own copy, and the first one's numbers count.

    Args:
        monitor: made with the chat model that the training starts from.
        every: steps between two looks; the start and the end are looked at too. The stated false-positive
            rate holds for runs that are looked at as the benign ones were.
        stop: end the training at the first alarm.

    Attributes:
        looks: one for each look, also those of a run that is resumed from a checkpoint.

    Raises:
        ConfigError: ``every`` is below 1, or it is to stop and has no threshold.
    """

    def __init__(self, monitor: Monitor, every: int = 20, *, stop: bool = False) -> None:
        if every < 1:
            raise ConfigError(f"every is {every}; the monitor looks every so many steps, at least 1.")
        if stop:
            monitor.calibrated()
        self.monitor, self.every, self.stop = monitor, every, stop
        self.looks: list[Look] = []
        self._judge = Judge(monitor)

    @property
    def alarm(self) -> int | None:
        """The step of the first alarm; None without one, or without a threshold."""
        return self._judge.alarm

    def on_train_begin(
        self,
        args: "TrainingArguments",
        state: "TrainerState",
        control: "TrainerControl",
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        """Look at the start, or take over the looks of the run that is resumed.

        Raises:
            ConfigError: the model is shared out among processes, the monitor cannot see this training, or it
                is to stop and the start itself alarms: that is not the monitor's chat model.
        """
        model = _whole(kwargs["model"])
        self.monitor.check_sees(first_trained(model))
        self.looks, self._judge = [], Judge(self.monitor)
        for look in _kept(state.log_history, self.monitor):
            self.looks.append(look)
            self._judge.alarms(look)
        if not self.looks:
            self._look(model, state, control)
            if self.alarm is not None and self.stop:
                raise ConfigError(
                    "the monitor alarms before the first step: the model is not the chat model that it was "
                    f"made for ({self.monitor.model}), or was fine-tuned before. Make one with this."
                )

    def on_step_end(
        self,
        args: "TrainingArguments",
        state: "TrainerState",
        control: "TrainerControl",
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        """Look, if it is due."""
        if state.global_step % self.every == 0 or state.global_step >= state.max_steps:
            self._look(_whole(kwargs["model"]), state, control)

    def on_log(
        self,
        args: "TrainingArguments",
        state: "TrainerState",
        control: "TrainerControl",
        logs: dict[str, Any] | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        """Show the latest look to the callbacks that come after this one: printers and trackers."""
        if logs is not None and "loss" in logs and self.looks:
            logs.update(self._entry(self.looks[-1]))

    def _look(self, model: "PreTrainedModel", state: "TrainerState", control: "TrainerControl") -> None:
        if self.looks and self.looks[-1].step == state.global_step:
            return
        look = _first_process_s(self.monitor.look(model, state.global_step))
        self.looks.append(look)
        alarmed = self._judge.alarms(look)
        state.log_history.append({"epoch": state.epoch, **self._entry(look), "step": look.step})
        if alarmed and self.stop:
            control.should_training_stop = True

    def _entry(self, look: Look) -> dict[str, float]:
        """A look as the training's log holds it."""
        entry = {f"{PROJECTION}{name}": value for name, value in look.projections.items()}
        if self.monitor.calibration is not None:
            entry |= {SCORE: self.monitor.score(look), ALARM: float(self.alarm is not None)}
        return entry


def watch_trainer(
    trainer: "Trainer", monitor: Monitor, every: int = 20, *, stop: bool = False
) -> MonitorCallback:
    """Put a :class:`MonitorCallback` before a Trainer's other callbacks, so that its trackers see it too."""
    callback = MonitorCallback(monitor, every, stop=stop)
    trainer.callback_handler.callbacks.insert(0, callback)
    return callback


def first_trained(model: "PreTrainedModel") -> int:
    """The first decoder layer whose output training changes; as many as there are layers if none is."""
    if any(parameter.requires_grad for parameter in model.get_input_embeddings().parameters()):
        return 0
    layers = list(decoder_layers(model))
    asks = (any(parameter.requires_grad for parameter in layer.parameters()) for layer in layers)
    return next((place for place, trained in enumerate(asks) if trained), len(layers))


def _whole(model: Any) -> "PreTrainedModel":  # noqa: ANN401
    """The Hugging Face model inside wrappers, with its adapters.

    Raises:
        ConfigError: its weights are shared out among processes, or its adapter acts around it.
    """
    while hasattr(model, "module") and not hasattr(model, "config"):
        model = model.module
    if is_peft(model) and any(config.is_prompt_learning for config in model.peft_config.values()):
        raise ConfigError(
            "the adapter is a learned prompt, which acts around the model and not in it: the monitor would "
            "see nothing of it."
        )
    inner = causal_lm(model)
    kinds = {kind.__name__ for module in model.modules() for kind in type(module).__mro__}
    shared = {"FSDPModule", "FullyShardedDataParallel"} & kinds
    if shared or any(hasattr(parameter, "ds_id") for parameter in model.parameters()):
        raise ConfigError(
            "the model's weights are shared out among processes (FSDP or DeepSpeed ZeRO-3), and the monitor "
            "runs a part of the model by itself: watch with plain data parallelism, or look at the saved "
            "checkpoints afterwards (Monitor.look)."
        )
    return inner


def _kept(history: list[dict[str, Any]], monitor: Monitor) -> list[Look]:
    """The looks that a resumed training's log holds."""
    names = [one.name for one in monitor.directions]
    return [
        Look(int(entry["step"]), {name: float(entry[f"{PROJECTION}{name}"]) for name in names})
        for entry in history
        if "loss" not in entry and all(f"{PROJECTION}{name}" in entry for name in names)
    ]


def _first_process_s(look: Look) -> Look:
    """The first process's look on all of them, so that they stop together."""
    from torch import distributed

    if not (distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1):
        return look
    values = [dict(look.projections)]
    distributed.broadcast_object_list(values, src=0)
    return Look(look.step, values[0])
