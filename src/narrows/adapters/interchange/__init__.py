"""Other tools' formats and the hub.

``published`` steering vectors, ``peft`` folders, ``gguf`` control vectors; ``layouts`` is which file of a
folder is the adapter; ``hub`` fetches adapters, ``push`` puts them there with their ``card``.
"""

from narrows.adapters.interchange.gguf import write_gguf
from narrows.adapters.interchange.hub import HubName, on_hub
from narrows.adapters.interchange.peft import read_peft, write_peft
from narrows.adapters.interchange.published import read_published, read_published_run
from narrows.adapters.interchange.push import Pushed, push_adapter

__all__ = [
    "HubName",
    "Pushed",
    "on_hub",
    "push_adapter",
    "read_peft",
    "read_published",
    "read_published_run",
    "write_gguf",
    "write_peft",
]
