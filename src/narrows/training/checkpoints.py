"""Checkpoints that survive a kill: tensors and their facts in one safetensors file, the newest readable one wins."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from narrows.files import atomic_path

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class State:
    """What a run needs to go on: the number of finished steps, tensors by name, and facts that JSON can hold."""

    step: int
    tensors: dict[str, Tensor]
    info: dict[str, Any] = field(default_factory=dict)


class CheckpointFolder:
    """The checkpoints of one run, ``step-000123.safetensors`` each; written atomically, oldest dropped first."""

    def __init__(self, folder: Path, keep: int | None = None) -> None:
        """
        Args:
            folder: where the checkpoints live; made at the first save.
            keep: how many of the newest to keep (None: all of them).
        """
        self.folder = Path(folder)
        self._keep = keep

    def path(self, step: int) -> Path:
        """The file of one step."""
        return self.folder / f"step-{step:06d}.safetensors"

    def steps(self) -> list[int]:
        """The steps that have a file, in the order of their numbers."""
        return sorted(int(path.stem.removeprefix("step-")) for path in self.folder.glob("step-*.safetensors"))

    def save(self, step: int, tensors: Mapping[str, Tensor], info: Mapping[str, Any] | None = None) -> Path:
        """Write one checkpoint.

        Raises:
            RunFolderError: the disk is full or the folder cannot be written; earlier checkpoints stay.
        """
        plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        with atomic_path(self.path(step)) as temporary:
            save_file(plain, temporary, metadata={"step": str(step), "info": json.dumps(dict(info or {}))})
        if self._keep is not None:
            for old in self.steps()[: -self._keep]:
                self.path(old).unlink(missing_ok=True)
        return self.path(step)

    def load(self, step: int) -> State:
        """Read one checkpoint.

        Raises:
            SafetensorError: the file is cut short or damaged.
        """
        with safe_open(self.path(step), framework="pt") as file:
            metadata = file.metadata() or {}
            # Cloned: the tensors of safe_open are views of a memory map that the next save may replace.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        return State(step, tensors, json.loads(metadata.get("info", "{}")))

    def newest(self) -> State | None:
        """The newest checkpoint that can be read; damaged ones are passed over with a warning, and removed."""
        for step in reversed(self.steps()):
            try:
                return self.load(step)
            except (SafetensorError, OSError, ValueError) as error:
                logger.warning(
                    "%s is damaged (%s): falling back to the checkpoint before it.", self.path(step), error
                )
                self.path(step).unlink(missing_ok=True)
        return None
