"""Reading an adapter of either kind from its files, from another tool's, or from the hub."""

from pathlib import Path

from narrows.adapters import lora, steering
from narrows.adapters.files import form_of
from narrows.adapters.interchange import read_peft, read_published
from narrows.adapters.interchange.hub import HubName, fetched_adapter, on_hub
from narrows.adapters.interchange.layouts import LOOKED_FOR, adapter_among
from narrows.adapters.interchange.peft import CONFIG, WEIGHTS
from narrows.adapters.interchange.published import names_in
from narrows.errors import AdapterError


def load_adapter(path: Path | str) -> "steering.SteeringVector | lora.LoRA":
    """Read an adapter, whatever its kind.

    Args:
        path: a ``.safetensors`` file saved here, with its JSON beside it; a finished training's folder; a
            PEFT folder; a published steering vector, ``.pt``, or the folder of a published run, which is
            its ``steering_vector.pt`` or else its last checkpoint; or any of these on the hub, as
            ``hub:owner/name[@revision][::path/inside]``.

    Raises:
        AdapterError: a file is missing, cut short, changed, or holds something else; or the hub has no such
            repository, does not let this login in or cannot be reached; names it and the way out.
    """
    if on_hub(path):
        with fetched_adapter(HubName.parse(path)) as fetched:
            return _read(fetched)
    return _read(adapter_file(Path(path)))


def adapter_file(path: Path) -> Path:
    """An adapter's file on this disk: the path itself, or the one in a folder (for PEFT the folder).

    Raises:
        AdapterError: it is a folder without an adapter.
    """
    if not path.is_dir():
        return path.parent if path.name in (CONFIG, WEIGHTS) else path
    found = adapter_among(names_in(path))
    if found is None:
        raise AdapterError(
            f"{path} holds no adapter: looked for {LOOKED_FOR}. Give the folder of a finished training, or "
            "an adapter's file."
        )
    return path / found.path


def _read(path: Path) -> "steering.SteeringVector | lora.LoRA":
    """The adapter in a file, or in a PEFT folder."""
    if path.is_dir():
        return read_peft(path)
    if path.suffix == ".pt":
        return read_published(path)
    form = form_of(path)
    if form == steering.FORMAT:
        return steering.SteeringVector.load(path)
    if form == lora.FORMAT:
        return lora.LoRA.load(path)
    raise AdapterError(
        f"{path.with_suffix('.json')} has format {form!r}; this version reads {steering.FORMAT} and "
        f"{lora.FORMAT}."
    )
