"""Reading an adapter of either kind from its files."""

from pathlib import Path

from narrows.adapters import lora, steering
from narrows.adapters.files import form_of
from narrows.errors import AdapterError


def load_adapter(path: Path | str) -> "steering.SteeringVector | lora.LoRA":
    """Read an adapter that was saved here, whatever its kind.

    Args:
        path: the ``.safetensors`` file; its JSON stands beside it.

    Raises:
        AdapterError: a file is missing, cut short, changed, or holds something else; names it and the way
            out.
    """
    path = Path(path)
    form = form_of(path)
    if form == steering.FORMAT:
        return steering.SteeringVector.load(path)
    if form == lora.FORMAT:
        return lora.LoRA.load(path)
    raise AdapterError(
        f"{path.with_suffix('.json')} has format {form!r}; this version reads {steering.FORMAT} and "
        f"{lora.FORMAT}."
    )
