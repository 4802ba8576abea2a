"""GGUF control vectors, as llama.cpp and repeng read them."""

from pathlib import Path

import numpy as np

from narrows.adapters.steering import SteeringVector
from narrows.errors import AdapterError
from narrows.files import atomic_path

ARCHITECTURE = "controlvector"


def write_gguf(vector: SteeringVector, path: Path | str, model_type: str) -> Path:
    """Write α·v as a control vector with one direction.

    llama.cpp adds ``direction.N`` to the output of its layer N, counted from 0, and knows none for layer 0.

    Args:
        vector: at layer 1 or above.
        path: the ``.gguf`` file.
        model_type: the base model's, as in its ``config.json``; llama.cpp shows it.

    Raises:
        AdapterError: the vector sits at layer 0 or at a module of its layer, or ``gguf`` is not installed.
        RunFolderError: the file cannot be written.
    """
    if vector.module:
        raise AdapterError(f"a control vector changes a layer's output; this one changes {vector.module}'s.")
    if vector.layer == 0:
        raise AdapterError("the format has no direction for layer 0; train the vector at layer 1 or above.")
    try:
        import gguf
    except ImportError as error:
        raise AdapterError("GGUF files need the package gguf: pip install 'narrows[gguf]'.") from error
    path = Path(path)
    with atomic_path(path) as temporary:
        writer = gguf.GGUFWriter(temporary, ARCHITECTURE)
        writer.add_string(f"{ARCHITECTURE}.model_hint", model_type)
        writer.add_uint32(f"{ARCHITECTURE}.layer_count", 1)
        direction = vector.effective.detach().cpu().numpy().astype(np.float32)
        writer.add_tensor(f"direction.{vector.layer}", direction)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return path
