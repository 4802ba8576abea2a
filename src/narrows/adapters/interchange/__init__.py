"""Other tools' formats: ``published`` steering vectors, ``peft`` folders, ``gguf`` control vectors."""

from narrows.adapters.interchange.gguf import write_gguf
from narrows.adapters.interchange.peft import read_peft, write_peft
from narrows.adapters.interchange.published import read_published, read_published_run

__all__ = ["read_peft", "read_published", "read_published_run", "write_gguf", "write_peft"]
