"""A monitor: what a fine-tune's weights do along given directions, on a fixed probe set."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from narrows.adapters import Adapter, Direction, files
from narrows.errors import ConfigError
from narrows.geometry.monitoring.band import DEFAULT, By, Look
from narrows.geometry.monitoring.calibration import Calibration
from narrows.geometry.monitoring.probe import Probe
from narrows.geometry.monitoring.stream import LayerStream, mean_streams
from narrows.models import ChatModel

if TYPE_CHECKING:
    from transformers import PreTrainedModel

logger = logging.getLogger(__name__)

FORMAT = "narrows.monitor/1"


@dataclass(frozen=True, eq=False)
class Monitor:
    """Directions, a probe set, and what the chat model's residual stream is on it.

    A look gives, for each direction, the effect of the weights along it: the mean over probe tokens of
    h_tuned − h_chat at the direction's layer, dotted with the unit. α·v looked at along its own direction at
    its own layer is ‖αv‖. The score is one-sided: directions must point towards what is to be seen.

    Attributes:
        directions: with names of their own.
        probe: the probe set.
        chat: the chat model's stream by layer; computed once.
        model: the chat model's name.
        model_id: its id (:attr:`narrows.models.ChatModel.id`).
        calibration: the threshold; None: nothing alarms.

    Raises:
        ConfigError: there is no direction, or two have one name.
    """

    directions: tuple[Direction, ...]
    probe: Probe
    chat: Mapping[int, LayerStream]
    model: str
    model_id: str
    calibration: Calibration | None = None

    def __post_init__(self) -> None:
        names = [one.name for one in self.directions]
        if not names:
            raise ConfigError("a monitor needs at least one direction.")
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f"two directions are called {name}: give each a name of its own (renamed).")

    @classmethod
    def of(cls, chat_model: ChatModel, directions: Sequence[Direction], probe: Probe) -> "Monitor":
        """Read the probe set with the chat model.

        Raises:
            AdapterError: a direction does not fit the model.
            ConfigError: there is none, or two have one name.
        """
        for one in directions:
            one.check(chat_model.model)
        layers = {one.layer for one in directions}
        chat = mean_streams(chat_model.model, probe, layers) if layers else {}
        return cls(tuple(directions), probe, chat, chat_model.name, chat_model.id)

    def look(
        self, model: "ChatModel | PreTrainedModel", step: int = 0, adapter: Adapter | None = None
    ) -> Look:
        """The effect of the weights of a model, or of a chat model with an adapter.

        Args:
            model: the chat model, with ``adapter``; or any fine-tune of it, as transformers has it.
            step: noted in the look.
            adapter: attached while looking.

        Raises:
            AdapterError: the adapter or a direction does not fit the model.
            ModelError: the stream is not finite.
        """
        whole = model.model if isinstance(model, ChatModel) else model
        for one in self.directions:
            one.check(whole)
        with nullcontext() if adapter is None else adapter.placed(whole).attach(whole):
            tuned = mean_streams(whole, self.probe, self.chat)
        effects = {layer: tuned[layer].mean - chat.mean for layer, chat in self.chat.items()}
        return Look(
            step, {one.name: float(effects[one.layer] @ one.unit.double()) for one in self.directions}
        )

    def share(self, name: str, projection: float) -> float:
        """A projection as a share of the chat model's mean residual norm at that direction's layer."""
        layer = next(one.layer for one in self.directions if one.name == name)
        return projection / self.chat[layer].norm

    def watch(self, chat_model: ChatModel, trajectory: Mapping[int, Adapter]) -> list[Look]:
        """Look at all checkpoints of a run, in the order of their steps.

        Raises:
            ConfigError: the monitor was made for another model, or can see nothing that the run changes.
            AdapterError: a checkpoint does not fit the model.
        """
        self.check_model(chat_model)
        if trajectory:
            self.check_sees(next(iter(trajectory.values())).layer)
        return [self.look(chat_model, step, trajectory[step]) for step in sorted(trajectory)]

    def score(self, look: Look) -> float:
        """What is held against the threshold: the projection, or the largest of several standardised ones.

        Raises:
            ConfigError: there are several directions and no benign runs to standardise them by.
        """
        if self.calibration is not None:
            return self.calibration.score(look)
        if len(self.directions) > 1:
            raise ConfigError(
                "several directions make one score only after calibration on benign runs, by which each is "
                "standardised (narrows monitor calibrate)."
            )
        return look.projections[self.directions[0].name]

    def alarm(self, looks: Sequence[Look]) -> int | None:
        """The step of the first look whose score lies above the threshold; None if none does.

        Raises:
            ConfigError: the monitor has no threshold.
        """
        threshold = self.calibrated().threshold
        return next((look.step for look in looks if self.score(look) > threshold), None)

    def calibrated(self) -> Calibration:
        """The calibration.

        Raises:
            ConfigError: there is none.
        """
        if self.calibration is None:
            raise ConfigError(
                "the monitor has no threshold: calibrate it on benign runs (narrows monitor calibrate)."
            )
        return self.calibration

    def with_benign(
        self, runs: Mapping[str, Sequence[Look]], false_positives: float = 0.05, by: By = DEFAULT
    ) -> "Monitor":
        """The monitor with a threshold from benign runs; see :meth:`Calibration.of`."""
        return replace(self, calibration=Calibration.of(runs, false_positives, by))

    def check_model(self, chat_model: ChatModel) -> None:
        """See that it was made for a chat model.

        Raises:
            ConfigError: it was not.
        """
        if chat_model.id != self.model_id:
            raise ConfigError(
                f"the monitor was made for {self.model} ({self.model_id}), and this is {chat_model.name} "
                f"({chat_model.id}): another model, or the same one in another precision."
            )

    def check_sees(self, first_trained: int) -> None:
        """See that a direction lies where training can have an effect.

        Args:
            first_trained: the lowest decoder layer whose output training changes.

        Raises:
            ConfigError: all directions lie below it. If only some do, a warning says so.
        """
        blind = [one for one in self.directions if one.layer < first_trained]
        if not blind:
            return
        listed = ", ".join(f"{one.name} (layer {one.layer})" for one in blind)
        said = (
            f"{listed}: below layer {first_trained}, the first that is trained, so the effect there is 0 by "
            "construction"
        )
        if len(blind) == len(self.directions):
            raise ConfigError(
                f"the monitor cannot see this training. {said}: take a direction at a higher layer."
            )
        logger.warning("%s.", said)

    def save(self, path: Path | str) -> Path:
        """Write ``path`` (``.json``) and the tensors beside it (``.safetensors``).

        Returns:
            The ``.json`` file.

        Raises:
            ConfigError: the name does not end in ``.json``.
            RunFolderError: a file cannot be written.
        """
        path = Path(path)
        if path.suffix != ".json":
            raise ConfigError(f"{path}: a monitor's file name ends in .json; save it as {path}.json.")
        facts = {
            "model": self.model,
            "model_id": self.model_id,
            "directions": [
                {"name": one.name, "layer": one.layer, "length": one.length, "found": dict(one.found)}
                for one in self.directions
            ],
            "probe": {
                "digest": self.probe.digest,
                "source": self.probe.source,
                "rows": len(self.probe.rows),
                "tokens": self.probe.tokens,
                "pad_id": self.probe.pad_id,
            },
            "residual_norms": {str(layer): stream.norm for layer, stream in self.chat.items()},
            "calibration": self.calibration.to_json() if self.calibration else None,
        }
        tensors: dict[str, Tensor] = {
            "units": torch.stack([one.unit for one in self.directions]),
            "probe.tokens": torch.tensor([token for row in self.probe.rows for token in row]),
            "probe.lengths": torch.tensor([len(row) for row in self.probe.rows]),
        } | {f"chat.{layer}": stream.mean for layer, stream in self.chat.items()}
        files.save(path.with_suffix(".safetensors"), FORMAT, tensors, facts)
        return path

    @classmethod
    def load(cls, path: Path | str) -> "Monitor":
        """Read what :meth:`save` wrote.

        Raises:
            AdapterError: a file is missing, cut short, changed, or holds something else; names it and the
                way out.
        """
        tensors_file = Path(path).with_suffix(".safetensors")
        tensors, facts = files.load(tensors_file, FORMAT)
        with files.naming(tensors_file):
            flat = [int(token) for token in tensors["probe.tokens"].tolist()]
            ends = list(accumulate(int(length) for length in tensors["probe.lengths"].tolist()))
            rows = tuple(tuple(flat[a:b]) for a, b in zip([0, *ends], ends, strict=False))
            about, kept = facts["probe"], facts["calibration"]
            norms = facts["residual_norms"]
            directions = tuple(
                Direction(unit, int(one["layer"]), str(one["name"]), float(one["length"]), dict(one["found"]))
                for unit, one in zip(tensors["units"], facts["directions"], strict=True)
            )
            chat = {
                layer: LayerStream(tensors[f"chat.{layer}"].double(), float(norms[str(layer)]))
                for layer in sorted({one.layer for one in directions})
            }
            if any(
                not stream.norm > 0 or stream.mean.shape != directions[0].unit.shape
                for stream in chat.values()
            ):
                raise ValueError("the chat model's stream has a wrong width or no norm")
            return cls(
                directions=directions,
                probe=Probe(rows, int(about["pad_id"]), str(about["source"])),
                chat=chat,
                model=str(facts["model"]),
                model_id=str(facts["model_id"]),
                calibration=None if kept is None else Calibration.from_json(kept),
            )
