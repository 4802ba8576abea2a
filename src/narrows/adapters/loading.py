"""Reading an adapter of either kind from its files, or from another tool's."""

from pathlib import Path

from narrows.adapters import lora, steering
from narrows.adapters.files import form_of
from narrows.adapters.interchange import read_peft, read_published
from narrows.errors import AdapterError


def load_adapter(path: Path | str) -> "steering.SteeringVector | lora.LoRA":
    """Read an adapter, whatever its kind.

    Args:
        path: a ``.safetensors`` file saved here, with its JSON beside it; a PEFT folder; or a published
            steering vector, ``.pt``.

    Raises:
        AdapterError: a file is missing, cut short, changed, or holds something else; names it and the way
            out.
    """
    path = Path(path)
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
