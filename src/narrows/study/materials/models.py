"""Which model a name stands for, before it is loaded: by its files' bytes, or by its commit on the hub."""

from contextlib import suppress
from functools import cache
from pathlib import Path

from narrows.errors import ModelError
from narrows.files import digest, file_digest
from narrows.microworld import shipped_model
from narrows.strict import one_line
from narrows.study.config.models import ModelEntry

WORLD = "microworld:"
FILES = ("*.safetensors", "*.bin", "*.json", "*.jinja", "*.model", "merges.txt", "vocab.txt")
"""What of a checkpoint folder decides what the model does."""


def checkpoint(model: ModelEntry) -> str | Path:
    """Where a model lies: the folder of a shipped one, all else as it is named."""
    seed = model.name.removeprefix(WORLD)
    return shipped_model(int(seed)) if seed != model.name and seed.isdecimal() else model.name


def fingerprint(model: ModelEntry) -> str:
    """A digest of what decides the model's numbers: its files, or its commit on the hub, and how it is held.

    Raises:
        ModelError: it is neither a folder nor to be found on the hub.
    """
    held = model.model_dump(mode="json", exclude={"name", "label", "revision"})
    return digest([_identity(str(checkpoint(model)), model.revision), held])


def revision_of(model: ModelEntry) -> str | None:
    """The commit to load a model from the hub at: the one that its fingerprint is of; None for a folder.

    A branch may move between the plan and the first stage.

    Raises:
        ModelError: it is neither a folder nor to be found on the hub.
    """
    name = checkpoint(model)
    return None if Path(name).is_dir() else _commit(str(name), model.revision)


@cache
def _identity(name: str, revision: str | None) -> object:
    folder = Path(name)
    if folder.is_dir():
        files = sorted(file for pattern in FILES for file in folder.glob(pattern))
        return [
            [file.name, file_digest(file)] for file in files if file.name not in ("run.json", "training.json")
        ]
    return [name, _commit(name, revision)]


@cache
def _commit(name: str, revision: str | None) -> str:
    """The commit of a model on the hub: of the copy on this machine, if there is no network."""
    from huggingface_hub import model_info, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = model_info(name, revision=revision).sha
        if found:
            return found
    except Exception as error:
        with suppress(HFValidationError):  # a path is no name on the hub
            cached = try_to_load_from_cache(name, "config.json", revision=revision)
            if isinstance(cached, str):
                return Path(cached).parent.name
        raise ModelError(
            f"{name} is no folder here, and the hub does not give it ({one_line(error)}). Give the path of a "
            "checkpoint folder, or log in with `hf auth login` if it is a private or gated model."
        ) from error
    raise ModelError(f"the hub names no commit of {name}.")
