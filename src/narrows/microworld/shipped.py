"""The chat models that come with the package: one configuration, three pre-training seeds."""

from importlib import resources
from pathlib import Path

from narrows.errors import ModelError
from narrows.microworld.config import WorldConfig

SEEDS = (1, 2, 3)
"""Pre-training seeds of the models that come with the package."""
WORLD_FILE = "world.yaml"


def shipped_model(seed: int = 1) -> Path:
    """The checkpoint directory of a shipped model.

    Raises:
        ModelError: no model with this pre-training seed is shipped.
    """
    folder = Path(str(resources.files("narrows.microworld"))) / "models" / f"seed-{seed}"
    if seed not in SEEDS or not folder.is_dir():
        raise ModelError(
            f"no microworld model of seed {seed} is shipped; there are {', '.join(map(str, SEEDS))}. "
            "`narrows world pretrain` makes others."
        )
    return folder


def load_world(model_folder: Path | str) -> WorldConfig:
    """The world that a model was pre-trained on, from the ``world.yaml`` in its checkpoint directory.

    Raises:
        ModelError: the directory has none, so it is no microworld model.
    """
    path = Path(model_folder) / WORLD_FILE
    if not path.is_file():
        raise ModelError(f"{path} does not exist: {model_folder} is no model of a microworld.")
    return WorldConfig.load(path)
