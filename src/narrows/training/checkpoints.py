"""Checkpoints that survive a kill: tensors and their facts in one safetensors file for each step."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor

from narrows.errors import RunFolderError
from narrows.files import atomic_path
from narrows.strict import one_line, parse_json

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class State:
    """What a run needs to go on: how many steps are done, tensors by name, and facts that JSON can hold."""

    step: int
    tensors: dict[str, Tensor]
    info: dict[str, Any] = field(default_factory=dict)


class CheckpointFolder:
    """The checkpoints of one run, ``step-000123.safetensors`` each.

    Each appears whole or not at all, so two processes that do the same run in the same folder at once need no
    lock: both write the same bytes under the same names, and neither ever reads half a file.

    Args:
        folder: where the checkpoints live; made at the first save.
        keep: how many of the newest to keep (None: all of them).
    """

    def __init__(self, folder: Path, keep: int | None = None) -> None:
        self.folder = Path(folder)
        self._keep = keep

    def path(self, step: int) -> Path:
        """The file of one step."""
        return self.folder / f"step-{step:06d}.safetensors"

    def steps(self) -> list[int]:
        """The steps that have a file, in the order of their numbers."""
        numbers = (path.stem.removeprefix("step-") for path in self.folder.glob("step-*.safetensors"))
        return sorted(int(number) for number in numbers if number.isdecimal())

    def save(self, step: int, tensors: Mapping[str, Tensor], info: Mapping[str, Any] | None = None) -> Path:
        """Write one checkpoint, and drop the oldest if there are more than are to be kept.

        Raises:
            RunFolderError: the disk is full or the folder cannot be written; earlier checkpoints stay.
        """
        plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        # Written by us and not by safetensors, whose own error does not tell a full disk from other faults.
        data = serialise(plain, metadata={"info": json.dumps(dict(info or {}))})
        with atomic_path(self.path(step)) as temporary:
            temporary.write_bytes(data)
        if self._keep is not None:
            for old in self.steps()[: -self._keep]:
                self.path(old).unlink(missing_ok=True)
        return self.path(step)

    def load(self, step: int) -> State:
        """Read one checkpoint.

        Raises:
            SafetensorError: the file is cut short.
            ValueError: its facts are damaged.
            FileNotFoundError: it is not there.
            RunFolderError: it cannot be read at all.
        """
        try:
            with safe_open(self.path(step), framework="pt") as file:
                metadata = file.metadata() or {}
                # Cloned, for these are views of a memory map of a file that a later save may replace.
                tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        except FileNotFoundError:
            raise
        except OSError as error:
            raise RunFolderError(f"{self.path(step)}: cannot be read ({error}).") from error
        info = parse_json(metadata.get("info", ""))
        if not isinstance(info, dict):
            raise ValueError("its facts are no object")
        return State(step, tensors, info)

    def newest(self) -> State | None:
        """The newest checkpoint that is whole; damaged ones are removed with a warning.

        Raises:
            RunFolderError: a file cannot be read at all.
        """
        for step in reversed(self.steps()):
            state = self._whole(step)
            if state is not None:
                return state
        return None

    def history(self) -> list[State]:
        """All checkpoints in order, up to the first damaged one; that and all after it are removed.

        So what is returned is what an undisturbed run had written at some moment, and the run goes on from
        there.

        Raises:
            RunFolderError: a file cannot be read at all.
        """
        states: list[State] = []
        for step in self.steps():
            state = self._whole(step)
            if state is None:
                self.drop_after(states[-1].step if states else 0)
                break
            states.append(state)
        return states

    def drop_after(self, step: int) -> None:
        """Remove the checkpoints of later steps, with a warning that names them."""
        later = [other for other in self.steps() if other > step]
        if later:
            logger.warning(
                "%s: the checkpoints of steps %s follow one that is gone: removed, and trained again.",
                self.folder,
                ", ".join(map(str, later)),
            )
        for other in later:
            self.path(other).unlink(missing_ok=True)

    def _whole(self, step: int) -> State | None:
        """The checkpoint, or None if it is damaged; it is then removed with a warning."""
        try:
            return self.load(step)
        except FileNotFoundError:  # another process dropped it in this moment
            return None
        except (SafetensorError, ValueError) as error:
            logger.warning(
                "%s is cut short or damaged (%s): removed, falling back to the checkpoint before it.",
                self.path(step),
                one_line(error),
            )
            self.path(step).unlink(missing_ok=True)
            return None
