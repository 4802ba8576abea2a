"""What the commands on directions read: directions by name, and rows for the residual stream's covariance."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from narrows.cli.intervening import load_direction
from narrows.errors import ConfigError
from narrows.progress import bar

if TYPE_CHECKING:
    from torch import Tensor

    from narrows.adapters import Direction
    from narrows.chat import Rendered
    from narrows.models import ChatModel

CovarianceModel = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="The directions' model: random ones are then drawn with its residual stream's covariance too.",
        metavar="MODEL",
        show_default=False,
    ),
]
Texts = Annotated[
    str,
    typer.Option(
        "--texts",
        "--text",
        help='Texts (.txt with empty lines between them, JSONL rows with "text", hub:owner/name) or chats '
        "(JSONL) that the model reads.",
        metavar="FILE",
    ),
]
TextsCount = Annotated[int, typer.Option("--texts-count", help="How many of them are read.", min=1)]
FINEWEB = "hub:HuggingFaceFW/fineweb:sample-10BT"


def read_directions(given: Sequence[str]) -> "list[Direction]":
    """Directions from ``FILE`` or ``NAME=FILE``; where two have the same name, their files tell them apart.

    Raises:
        AdapterError: there is none, it is damaged, zero, or a LoRA.
        ConfigError: one is empty.
    """
    found, files = [], []
    for one in given:
        name, sign, file = one.partition("=")
        if not sign or Path(one).exists():
            name, file = "", one
        if not file:
            raise ConfigError(f"{one!r} names no file: give FILE or NAME=FILE.")
        direction = load_direction(Path(file))
        found.append(direction.renamed(name) if name else direction)
        files.append(file)
    count = Counter(one.name for one in found)
    return [
        one.renamed(f"{one.name} ({file})") if count[one.name] > 1 else one
        for one, file in zip(found, files, strict=True)
    ]


def read_rows(chat_model: "ChatModel", source: str, count: int, max_length: int = 512) -> "list[Rendered]":
    """The first texts or chats of a source, rendered.

    Raises:
        DataError: the source is missing or malformed.
    """
    from narrows.chat import read_conversations
    from narrows.chat.corpora import read_texts

    if _holds_chats(source):
        return [chat_model.renderer.render(one, max_length) for one in read_conversations(source)[:count]]
    by_type = read_texts(source, count=count, shortest=0)
    texts = [text for some in by_type.values() for text in some]
    return [
        chat_model.renderer.text(text, max_length, source=f"{source} text {number}")
        for number, text in enumerate(texts, start=1)
    ]


def covariances(
    chat_model: "ChatModel", layers: Sequence[int], source: str, count: int
) -> "dict[int, Tensor]":
    """The residual stream's covariance on a source's texts at some layers."""
    from narrows.models import residual_covariance

    rows = read_rows(chat_model, source, count)
    found = {}
    with bar("covariance of the stream", len(layers)) as shown:
        for layer in layers:
            found[layer] = residual_covariance(chat_model, layer, rows)
            shown.advance()
    return found


def _holds_chats(source: str) -> bool:
    """Whether the first row of a JSONL file is a chat; what cannot be read is left to the reader of texts."""
    path = Path(source)
    if path.suffix != ".jsonl" or not path.is_file():
        return False
    with path.open(encoding="utf-8", errors="replace") as lines:
        first = next((line for line in lines if line.strip()), "")
    try:
        row = json.loads(first)
    except ValueError:
        return False
    return isinstance(row, dict) and "messages" in row
